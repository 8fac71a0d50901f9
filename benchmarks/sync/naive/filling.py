"""The peer's tables, filled from those of the shard that they lie beside.

A process of its own, with the peer's settings.
"""

from __future__ import annotations

import django

_FILL = (
    """
    INSERT INTO naive_device (id, token, region, local_version)
    SELECT id, replace(id::text, '-', ''), region, local_version FROM shards_device
    """,
    """
    INSERT INTO naive_pattern (id, device_id, embedding, success_rate, sample_count,
        time_of_day, day_of_week, content_type, genre_hints, content_ids, reported_at)
    SELECT pattern_id, device_id, embedding, success_rate, sample_count, time_of_day,
        day_of_week, content_type, genre_hints, content_ids, reported_at
    FROM patterns_pattern
    """,
    """
    INSERT INTO naive_globalpattern (cell, embedding, success_rate, mass)
    SELECT cell, embedding, success_rate, mass FROM federation_globalpattern
    """,
    """
    INSERT INTO naive_trend (region, rank, content_id, score)
    SELECT region, rank, item, score FROM federation_trend
    """,
)


def main() -> None:
    django.setup()
    from django.db import connection

    from benchmarks.sync.naive.models import Device, GlobalPattern, Pattern, Trend

    with connection.cursor() as cursor:
        for model in (Pattern, Device, GlobalPattern, Trend):
            cursor.execute(f"DROP TABLE IF EXISTS {model._meta.db_table} CASCADE")
    (index,) = GlobalPattern._meta.indexes
    with connection.schema_editor() as editor:
        for model in (Device, Pattern, GlobalPattern, Trend):
            editor.create_model(model)
        editor.remove_index(GlobalPattern, index)
    with connection.cursor() as cursor:
        for statement in _FILL:
            cursor.execute(statement)
    with connection.schema_editor() as editor:
        editor.add_index(GlobalPattern, index)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE naive_device, naive_pattern")
        cursor.execute("ANALYZE naive_globalpattern, naive_trend")


if __name__ == "__main__":
    main()

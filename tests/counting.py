"""Syncs for the statistics of a shard, without anything that TVs learned."""

from __future__ import annotations

from datetime import datetime

from django.db import connections

from shards import statistics


def record_sync(
    *,
    shard_alias: str,
    now: datetime,
    previous_sync_at: datetime | None = None,
    latency_us: int = 0,
    pattern_delta: int = 0,
) -> None:
    """Count one as the statement of a group does; the previous one is the same TV's."""
    with connections[shard_alias].cursor() as cursor:
        cursor.execute(
            f"""
            WITH heard (previous_sync_at, pattern_delta) AS (
                VALUES (%(previous_sync_at)s::timestamptz, %(pattern_delta)s::int8)
            ), {statistics.RECORD_GROUP}
            SELECT
            """,
            {
                "previous_sync_at": previous_sync_at,
                "pattern_delta": pattern_delta,
                **statistics.group_parameters(now=now, latency_us=latency_us),
            },
        )

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from shards.models import ShardHour, SyncMinute
from shards.services import pruning

pytestmark = pytest.mark.django_db(databases="__all__")

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def minutes_on(shard, *instants: datetime) -> None:
    SyncMinute.objects.using(shard.alias).bulk_create(
        SyncMinute(minute=instant, slot=0) for instant in instants
    )


def left_on(shard) -> list[datetime]:
    rows = SyncMinute.objects.using(shard.alias).order_by("minute")
    return list(rows.values_list("minute", flat=True))


def test_minutes_older_than_a_week_go(vega):
    week = NOON - timedelta(days=7)
    minutes_on(vega, week - timedelta(minutes=1), week, NOON)

    assert pruning.count_minutes(shard_id=vega.id, now=NOON) == 1
    assert sum(pruning.prune_minutes(shard_id=vega.id, now=NOON)) == 1
    assert left_on(vega) == [week, NOON]


def test_steps_are_bounded_and_may_be_stopped_in_between(vega):
    """Two steps of 6 hours: 00:00 to 05:59, then 10:00 from the next oldest on."""
    old = NOON.replace(month=1, hour=0)
    minutes_on(vega, old, old + timedelta(hours=5, minutes=59), old.replace(hour=10))
    steps = pruning.prune_minutes(shard_id=vega.id, now=NOON)

    assert next(steps) == 2
    assert left_on(vega) == [old.replace(hour=10)]
    assert list(steps) == [1]


def test_the_command_deletes_nothing_without_yes(vega):
    minutes_on(vega, NOON.replace(year=2020))
    out = StringIO()

    call_command("prune", stdout=out, stderr=StringIO())

    assert out.getvalue() == "1 rows would be deleted. Add --yes to do it.\n"
    assert len(left_on(vega)) == 1


def test_the_command_deletes(vega):
    minutes_on(vega, NOON.replace(year=2020), timezone.now())
    ShardHour.objects.bulk_create(
        ShardHour(
            shard=vega,
            hour=hour,
            device_count=0,
            active_device_count=0,
            pattern_count=0,
        )
        for hour in (NOON.replace(year=2020), timezone.now())
    )
    out = StringIO()

    call_command("prune", "--yes", "--json", stdout=out, stderr=StringIO())

    facts = json.loads(out.getvalue())
    assert (facts["deleted"], facts["hours"], facts["failed_shards"]) == (True, 1, [])
    assert facts["minutes_by_shard"]["0"] == 1
    assert len(left_on(vega)) == ShardHour.objects.count() == 1


def test_the_command_goes_on_without_a_shard_that_is_down(vega, deneb):
    minutes_on(vega, NOON.replace(year=2020))

    with pytest.raises(CommandError, match="No answer from shards 2"):
        call_command("prune", "--yes", stdout=StringIO(), stderr=StringIO())

    assert left_on(vega) == []

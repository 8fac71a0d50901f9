"""Delete what no longer says anything: minutes and hours of statistics long past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Min, QuerySet

from shards import reaching
from shards.databases import shard_alias
from shards.models import ShardHour, SyncMinute

#: Nothing reads beyond a quarter of an hour; a week helps whoever looks into a problem.
MINUTES_KEPT = timedelta(days=7)

#: Forecasts read four weeks; people compare years.
HOURS_KEPT = timedelta(days=800)

#: At most 64 rows a minute, so some 23,000 in one transaction.
STEP = timedelta(hours=6)


def count_minutes(*, shard_id: int, now: datetime) -> int:
    """Count the rows that ``prune_minutes`` would delete."""
    with reaching.shard(shard_id):
        return _old_minutes(shard_id, now).count()


def prune_minutes(*, shard_id: int, now: datetime) -> Iterator[int]:
    """Delete from the oldest on; tells after each step how many rows it deleted.

    Stopping between two steps, or in one, leaves nothing half done.
    """
    with reaching.shard(shard_id):
        while oldest := _old_minutes(shard_id, now).aggregate(at=Min("minute"))["at"]:
            step = _old_minutes(shard_id, now).filter(minute__lt=oldest + STEP)
            yield step.delete()[0]


def count_hours(*, now: datetime) -> int:
    with reaching.control():
        return ShardHour.objects.filter(hour__lt=now - HOURS_KEPT).count()


def prune_hours(*, now: datetime) -> int:
    """Delete old hours: at most some thousands a day, for all shards together."""
    with reaching.control():
        return ShardHour.objects.filter(hour__lt=now - HOURS_KEPT).delete()[0]


def _old_minutes(shard_id: int, now: datetime) -> QuerySet[SyncMinute]:
    return SyncMinute.objects.using(shard_alias(shard_id)).filter(
        minute__lt=now - MINUTES_KEPT
    )

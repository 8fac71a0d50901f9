"""What a shard's TVs do, counted as it happens instead of being counted later.

The writing side runs inside the transaction of whatever it counts, so the numbers are
exact after any crash. Rows are locked in one order everywhere (the TV, its minutes
from old to new, the tally), so that writers who share a slot wait but never deadlock:
call at most one ``record_`` function per transaction, after the TV's row is locked.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import Q, Sum

from shards.models import ShardTally, SyncMinute

#: A TV is active while its last sync lies in this minute or the 15 before.
ACTIVE_WINDOW = timedelta(minutes=15)

#: Rates are taken over this minute, as far as it has gone, and the one before.
RATE_WINDOW = timedelta(minutes=1)

#: Enough that the threads of a few processes seldom share a row.
SLOT_COUNT = 64

_ADD_TO_TALLY = """
    INSERT INTO shards_shardtally AS tally (slot, device_count, pattern_count)
    VALUES (%s, %s, %s)
    ON CONFLICT (slot) DO UPDATE SET
        device_count = tally.device_count + excluded.device_count,
        pattern_count = tally.pattern_count + excluded.pattern_count
"""

_INTO_MINUTES = """
    INSERT INTO shards_syncminute AS entry
        (minute, slot, sync_count, latency_us, active_delta)
"""
_ADDED_TO_MINUTES = """
    ON CONFLICT (minute, slot) DO UPDATE SET
        sync_count = entry.sync_count + excluded.sync_count,
        latency_us = entry.latency_us + excluded.latency_us,
        active_delta = entry.active_delta + excluded.active_delta
"""

_FORGET_MINUTE = f"{_INTO_MINUTES} VALUES (%s, %s, 0, 0, -1) {_ADDED_TO_MINUTES}"

#: Counts the syncs of a statement that has them as ``heard``: the time of the same
#: TV's previous sync (null for its first), and by how many its patterns grew. With
#: ``group_parameters``.
RECORD_GROUP = f"""
minutes AS (
    {_INTO_MINUTES}
    SELECT
        minute, %(slot)s::int2, sum(sync_count), sum(latency_us), sum(active_delta)
    FROM (
        SELECT
            date_trunc('minute', %(now)s::timestamptz) AS minute,
            count(*) AS sync_count,
            %(latency_us)s::int8 AS latency_us,
            count(*) AS active_delta
        FROM heard
        HAVING count(*) > 0
        UNION ALL
        SELECT date_trunc('minute', previous_sync_at), 0, 0, -count(*)
        FROM heard
        WHERE previous_sync_at >= %(active_since)s
        GROUP BY date_trunc('minute', previous_sync_at)
    ) AS added
    GROUP BY minute
    ORDER BY minute  -- of the locks
    {_ADDED_TO_MINUTES}
    RETURNING minute
), tally AS (
    INSERT INTO shards_shardtally AS tally (slot, device_count, pattern_count)
    SELECT %(slot)s::int2, 0, sum(pattern_delta)
    FROM heard, (SELECT count(*) FROM minutes) AS after_the_minutes
    HAVING sum(pattern_delta) <> 0
    ON CONFLICT (slot) DO UPDATE SET
        pattern_count = tally.pattern_count + excluded.pattern_count
)"""


@dataclass(frozen=True, kw_only=True)
class ShardStatistics:
    total_devices: int
    active_devices: int
    patterns_stored: int
    sync_requests_per_min: float
    avg_sync_latency_ms: float


def group_parameters(*, now: datetime, latency_us: int) -> dict[str, Any]:
    """Give what ``RECORD_GROUP`` asks for.

    The time to commit isn't known before it: ``latency_us`` may hold that of other
    syncs, as long as each is given once.
    """
    return {
        "now": now,
        "latency_us": latency_us,
        "active_since": active_since(now),
        "slot": _slot(),
    }


def record_devices(*, shard_alias: str, delta: int) -> None:
    """Count TVs that came; for one that leaves, use ``record_forgotten``."""
    _add_to_tally(shard_alias, device_delta=delta)


def record_forgotten(
    *,
    shard_alias: str,
    now: datetime,
    last_synced_at: datetime | None,
    pattern_count: int,
) -> None:
    """Take one TV and its patterns out of every count."""
    if last_synced_at is not None and minute_of(last_synced_at) >= active_since(now):
        with connections[shard_alias].cursor() as cursor:
            cursor.execute(_FORGET_MINUTE, [minute_of(last_synced_at), _slot()])
    _add_to_tally(shard_alias, device_delta=-1, pattern_delta=-pattern_count)


def read(*, shard_alias: str, now: datetime) -> ShardStatistics:
    """Sum a shard's counts: at most 64 rows, and 64 for each of 16 minutes."""
    tally = ShardTally.objects.using(shard_alias).aggregate(
        devices=Sum("device_count", default=0),
        patterns=Sum("pattern_count", default=0),
    )
    in_rate_window = Q(minute__gte=minute_of(now) - RATE_WINDOW)
    recent = (
        SyncMinute.objects.using(shard_alias)
        .filter(minute__gte=active_since(now))
        .aggregate(
            active=Sum("active_delta", default=0),
            syncs=Sum("sync_count", filter=in_rate_window, default=0),
            latency_us=Sum("latency_us", filter=in_rate_window, default=0),
        )
    )
    rate_window = now - minute_of(now) + RATE_WINDOW
    return ShardStatistics(
        total_devices=int(tally["devices"]),
        active_devices=int(recent["active"]),
        patterns_stored=int(tally["patterns"]),
        sync_requests_per_min=recent["syncs"] / (rate_window / timedelta(minutes=1)),
        avg_sync_latency_ms=float(recent["latency_us"]) / max(1, recent["syncs"]) / 1e3,
    )


def minute_of(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def active_since(now: datetime) -> datetime:
    """Tell since when a TV must have synced to be active."""
    return minute_of(now) - ACTIVE_WINDOW


def _add_to_tally(
    shard_alias: str, *, device_delta: int = 0, pattern_delta: int = 0
) -> None:
    with connections[shard_alias].cursor() as cursor:
        cursor.execute(_ADD_TO_TALLY, [_slot(), device_delta, pattern_delta])


def _slot() -> int:
    return threading.get_native_id() % SLOT_COUNT

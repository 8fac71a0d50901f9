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

_ADD_TO_MINUTES = """
    INSERT INTO shards_syncminute AS entry
        (minute, slot, sync_count, latency_us, active_delta)
    VALUES {rows}
    ON CONFLICT (minute, slot) DO UPDATE SET
        sync_count = entry.sync_count + excluded.sync_count,
        latency_us = entry.latency_us + excluded.latency_us,
        active_delta = entry.active_delta + excluded.active_delta
"""
# The types say what the parameters are: in a VALUES list of several rows nothing
# else does.
_MINUTE_ROW = "(%s::timestamptz, %s::int2, %s::int4, %s::int8, %s::int4)"


@dataclass
class _MinuteEntry:
    """What one transaction adds to a minute."""

    sync_count: int = 0
    latency_us: int = 0
    active_delta: int = 0


@dataclass(frozen=True, kw_only=True)
class ShardStatistics:
    total_devices: int
    active_devices: int
    patterns_stored: int
    sync_requests_per_min: float
    avg_sync_latency_ms: float


def record_sync(
    *,
    shard_alias: str,
    now: datetime,
    previous_sync_at: datetime | None,
    latency_us: int,
    pattern_delta: int,
) -> None:
    """Count one sync; ``previous_sync_at`` is the same TV's, None for its first.

    The time to commit isn't known before it: ``latency_us`` may be that of another
    sync, as long as each is given once.
    """
    entries = {
        minute_of(now): _MinuteEntry(
            sync_count=1, latency_us=latency_us, active_delta=1
        )
    }
    if previous_sync_at is not None and _is_active(previous_sync_at, now):
        previous = entries.setdefault(minute_of(previous_sync_at), _MinuteEntry())
        previous.active_delta -= 1
    _add_to_minutes(shard_alias, entries)
    if pattern_delta:
        _add_to_tally(shard_alias, pattern_delta=pattern_delta)


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
    if last_synced_at is not None and _is_active(last_synced_at, now):
        gone = _MinuteEntry(active_delta=-1)
        _add_to_minutes(shard_alias, {minute_of(last_synced_at): gone})
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
        .filter(minute__gte=minute_of(now) - ACTIVE_WINDOW)
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


def _is_active(synced_at: datetime, now: datetime) -> bool:
    return minute_of(synced_at) >= minute_of(now) - ACTIVE_WINDOW


def _add_to_tally(
    shard_alias: str, *, device_delta: int = 0, pattern_delta: int = 0
) -> None:
    with connections[shard_alias].cursor() as cursor:
        cursor.execute(_ADD_TO_TALLY, [_slot(), device_delta, pattern_delta])


def _add_to_minutes(shard_alias: str, entries: dict[datetime, _MinuteEntry]) -> None:
    parameters: list[Any] = []
    for minute, entry in sorted(entries.items()):  # the order of the locks
        parameters += (
            minute,
            _slot(),
            entry.sync_count,
            entry.latency_us,
            entry.active_delta,
        )
    rows = ", ".join([_MINUTE_ROW] * len(entries))
    with connections[shard_alias].cursor() as cursor:
        cursor.execute(_ADD_TO_MINUTES.format(rows=rows), parameters)


def _slot() -> int:
    return threading.get_native_id() % SLOT_COUNT

"""Visit shards and see how they are, without waiting for one that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import connections

from shards import reaching, statistics
from shards.databases import CONTROL_ALIAS, shard_alias
from shards.exceptions import ShardUnavailable
from shards.models import Shard, ShardHour
from shards.statistics import ShardStatistics

#: What each shard said; None for one that didn't answer.
Sightings = dict[int, ShardStatistics | None]

TIMEOUT = timedelta(seconds=3)


class Visitor:
    """Visits shards in parallel, each on a connection of its own.

    A visit that outlives its timeout is left behind, and its shard isn't visited
    again until it has ended: a shard that hangs costs one thread, not one a round.
    """

    def __init__(self) -> None:
        self._visits: dict[int, threading.Thread] = {}

    def visit(
        self,
        shard_ids: Iterable[int],
        *,
        now: datetime,
        timeout: timedelta = TIMEOUT,
    ) -> Sightings:
        sightings: Sightings = dict.fromkeys(shard_ids)
        seen: Sightings = {}  # of this round only: a late visitor reports to nobody
        for shard_id in sightings:
            self._set_out(shard_id, now, seen)

        deadline = time.monotonic() + timeout.total_seconds()
        for shard_id in sightings:
            self._visits[shard_id].join(max(0.0, deadline - time.monotonic()))
        return {shard_id: seen.get(shard_id) for shard_id in sightings}

    def _set_out(self, shard_id: int, now: datetime, seen: Sightings) -> None:
        previous = self._visits.get(shard_id)
        if previous is not None and previous.is_alive():
            return
        visit = threading.Thread(target=_look, args=(shard_id, now, seen), daemon=True)
        self._visits[shard_id] = visit
        visit.start()


def record(sightings: Sightings, *, now: datetime) -> None:
    """Write down what was seen; of a shard that didn't answer the old numbers stay."""
    for shard_id, seen in sightings.items():
        # One statement a shard: enrolments want the same rows.
        Shard.objects.filter(pk=shard_id).update(
            observed_at=now,
            is_reachable=seen is not None,
            **({} if seen is None else _columns(seen)),
        )
    _record_hour(sightings, now=now)


def _look(shard_id: int, now: datetime, seen: Sightings) -> None:
    alias = shard_alias(shard_id)
    try:
        with suppress(ShardUnavailable), reaching.shard(shard_id):
            seen[shard_id] = statistics.read(shard_alias=alias, now=now)
    finally:
        # Nobody else would close what this thread has opened.
        connections.close_all()


def _record_hour(sightings: Sightings, *, now: datetime) -> None:
    """Keep the first sight of each hour."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    known = set(Shard.objects.values_list("id", flat=True))
    ShardHour.objects.using(CONTROL_ALIAS).bulk_create(
        (
            ShardHour(
                shard_id=shard_id,
                hour=hour,
                device_count=seen.total_devices,
                active_device_count=seen.active_devices,
                pattern_count=seen.patterns_stored,
            )
            for shard_id, seen in sightings.items()
            if seen is not None and shard_id in known
        ),
        ignore_conflicts=True,
    )


def _columns(seen: ShardStatistics) -> dict[str, float]:
    return {
        "active_device_count": max(0, seen.active_devices),
        "pattern_count": max(0, seen.patterns_stored),
        "syncs_per_minute": seen.sync_requests_per_min,
        "mean_latency_ms": seen.avg_sync_latency_ms,
    }

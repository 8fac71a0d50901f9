"""A group of syncs as one statement: each of another TV, all of one shard.

The statement takes the rows of the TVs it finds free, and says of each sync what it
found and what it did. It never waits for a TV: one whose row is locked, or was written
since the statement's snapshot, is left out, for whoever sent it to try again alone.
Every transaction that touches patterns writes the row of their TV as well, so a row
that is the same in the snapshot and under the lock vouches for the patterns.

Costs, at 4 million TVs and 20 million patterns: for each sync one look-up by key in
``shards_device``, for each id it names one in ``patterns_pattern``; two or three rows
of statistics a group. Nothing scans.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from patterns.arrays import uuids
from patterns.selectors import NO_TASTES, TASTES, Tastes, tastes_by_device
from patterns.services.group_columns import Sync, parameters
from patterns.services.group_statement import PARAMETERS, STATEMENT
from shards import statistics
from shards.raw_cursors import raw_cursor


class Outcome(NamedTuple):
    """What the statement found of a TV, and what is stored now."""

    device_id: UUID
    revoked_at: datetime | None
    token_epoch: int
    region: str
    #: As they were before.
    local_version: int
    delta_digest: bytes
    #: Whether it was written now.
    is_applied: bool
    # Of this delta, or of the stored one if it wasn't written.
    stored_count: int
    filtered_count: int
    updated_count: int
    removed_count: int
    #: How many patterns the TV has, or would have if it weren't too many.
    pattern_count: int
    #: None if nobody wants them.
    tastes: Tastes | None = None


def write(
    connection: BaseDatabaseWrapper,
    syncs: Sequence[Sync],
    *,
    now: datetime,
    latency_us: int,
) -> dict[UUID, Outcome]:
    """Apply what can be applied; by TV what became of it.

    A TV that isn't in the answer is unknown, or was held by somebody else. ``syncs``
    are of different TVs. ``latency_us`` is the sum of what they took so far.
    """
    values = _values(syncs, now=now, latency_us=latency_us)
    behind = _behind(syncs)
    if not behind:
        with raw_cursor(connection) as cursor:
            cursor.execute(STATEMENT, values)
            return _outcomes(cursor.fetchall())
    with raw_cursor(connection) as writing, raw_cursor(connection) as reading:
        # Both are sent before either is answered: one trip, one commit.
        with writing.connection.pipeline():
            writing.execute(STATEMENT, values)
            reading.execute(TASTES, [uuids(behind)])
        return _with_tastes(writing.fetchall(), reading.fetchall(), syncs)


async def write_soon(
    connection: psycopg.AsyncConnection[Any],
    syncs: Sequence[Sync],
    *,
    now: datetime,
    latency_us: int,
) -> dict[UUID, Outcome]:
    """Do as ``write``, for an event loop, which goes on meanwhile."""
    values = _values(syncs, now=now, latency_us=latency_us)
    behind = _behind(syncs)
    writing = psycopg.AsyncRawCursor(connection)
    if not behind:
        await writing.execute(STATEMENT, values)
        return _outcomes(await writing.fetchall())
    reading = psycopg.AsyncRawCursor(connection)
    async with connection.pipeline():
        await writing.execute(STATEMENT, values)
        await reading.execute(TASTES, [uuids(behind)])
    return _with_tastes(await writing.fetchall(), await reading.fetchall(), syncs)


def _values(syncs: Sequence[Sync], *, now: datetime, latency_us: int) -> list[Any]:
    given = {
        **parameters(syncs),
        **statistics.group_parameters(now=now, latency_us=latency_us),
        "quality_threshold": settings.QUALITY_THRESHOLD,
        "patterns_limit": settings.PATTERNS_PER_DEVICE,
    }
    return [given[name] for name in PARAMETERS]


def _behind(syncs: Sequence[Sync]) -> list[bytes]:
    return [sync.device_id.bytes for sync in syncs if sync.wants_tastes]


def _outcomes(rows: Sequence[Any]) -> dict[UUID, Outcome]:
    return {row[0]: Outcome(*row) for row in rows}


def _with_tastes(
    rows: Sequence[Any], tastes: Sequence[Any], syncs: Sequence[Sync]
) -> dict[UUID, Outcome]:
    found = tastes_by_device(tastes)
    outcomes = _outcomes(rows)
    for sync in syncs:
        outcome = outcomes.get(sync.device_id)
        if sync.wants_tastes and outcome is not None:
            of_tv = found.get(sync.device_id, NO_TASTES)
            outcomes[sync.device_id] = outcome._replace(tastes=of_tv)
    return outcomes


def latency_us(syncs: Sequence[Sync]) -> int:
    """Sum how long they have been under way."""
    now = time.perf_counter()
    return round(sum(now - sync.started for sync in syncs) * 1_000_000)

"""Apply a TV's delta once, however often it is sent.

Everything is decided on what the lock of the TV's row protects. A reply is sent after
the commit, so a TV that heard one finds its patterns after a crash; one that heard none
sends the same delta again and is recognised by version and digest.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections, transaction
from django.utils import timezone

from patterns import delta as deltas
from patterns.delta import Accepted, Decision, Delta
from patterns.exceptions import TooManyPatterns
from patterns.reckoning import reckon
from patterns.selectors import Tastes
from patterns.services import group_commit, groups, loop_commit
from patterns.services.group_columns import AssignCells, Sync
from patterns.services.groups import Outcome
from shards import tokens
from shards.exceptions import DeviceUnknown
from shards.models import Device
from shards.tokens import DeviceToken

#: Calls a function with these arguments, while an event loop goes on.
InThread: TypeAlias = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A delta that is stored, now or since an earlier try."""

    accepted: Accepted
    local_version: int
    is_replay: bool
    #: Where the TV is, for its trends.
    region: str
    pattern_count: int
    #: The TV's patterns, this delta's among them; None if they weren't asked for.
    tastes: Tastes | None = None


def prepare(
    *,
    device_id: UUID,
    delta: Delta,
    assign_cells: AssignCells,
    token: DeviceToken | None = None,
    started: float | None = None,
    with_tastes: bool = False,
) -> Sync:
    """Work out what is to be written for a delta, without a database.

    ``token`` is the one the TV showed; None when an engineer stands in for the TV.
    ``started`` is when the request arrived, by ``time.perf_counter``.
    """
    return Sync(
        device_id=device_id,
        delta=delta,
        reckoning=reckon(delta, quality_threshold=settings.QUALITY_THRESHOLD),
        assign_cells=assign_cells,
        token=token,
        started=time.perf_counter() if started is None else started,
        wants_tastes=with_tastes,
    )


def apply(shard_alias: str, sync: Sync) -> Applied:
    """Store a delta in a group with others; returns after its commit.

    Raises ``WriterIsBusy`` if too many wait, and else what is wrong with this delta;
    then nothing of it is stored.
    """
    outcome = group_commit.of(shard_alias).write(sync)
    if outcome is None:
        outcome = _write_alone(shard_alias, sync)
    return _applied(sync, outcome)


async def apply_soon(shard_alias: str, sync: Sync, in_thread: InThread) -> Applied:
    """Do as ``apply``, for an event loop, which goes on meanwhile.

    ``in_thread`` is for what is tried alone and may wait for a database.
    """
    outcome = await loop_commit.of(shard_alias).write(sync)
    if outcome is None:
        outcome = await in_thread(_write_alone, shard_alias, sync)
    return _applied(sync, outcome)


def _write_alone(shard_alias: str, sync: Sync) -> Outcome:
    """Write what no group could: wait for the TV's row, and for a new connection."""
    try:
        return _write_locked(shard_alias, sync)
    except (OperationalError, InterfaceError):
        connection = connections[shard_alias]
        if connection.in_atomic_block:
            raise
        # The database was restarted, or the network was. If the sync was committed
        # all the same, the next try finds it.
        connection.close_if_unusable_or_obsolete()
        return _write_locked(shard_alias, sync)


def _write_locked(shard_alias: str, sync: Sync) -> Outcome:
    with transaction.atomic(using=shard_alias):
        device = Device.objects.using(shard_alias).filter(pk=sync.device_id)
        if device.select_for_update(no_key=True).values("id").first() is None:
            raise DeviceUnknown(device_id=sync.device_id)
        outcomes = groups.write(
            connections[shard_alias],
            [sync],
            now=timezone.now(),
            latency_us=groups.latency_us([sync]),
        )
    return outcomes[sync.device_id]


def _applied(sync: Sync, outcome: Outcome) -> Applied:
    """Say what became of it, or raise why nothing did."""
    if sync.token is not None:
        tokens.check_standing(sync.token, outcome)
    decision = deltas.decide(
        stored_version=outcome.local_version,
        stored_digest=bytes(outcome.delta_digest),
        delta=sync.delta,
    )
    if decision is Decision.APPLY and not outcome.is_applied:
        limit = settings.PATTERNS_PER_DEVICE
        raise TooManyPatterns(
            field="delta.patterns_added",
            problem=f"the TV would have {outcome.pattern_count} patterns",
            accepted=f"additions up to {limit} patterns on the TV",
            limit=limit,
            limit_name="patterns_per_device",
        )
    return Applied(
        accepted=Accepted(
            stored=outcome.stored_count,
            filtered=outcome.filtered_count,
            updated=outcome.updated_count,
            removed=outcome.removed_count,
        ),
        local_version=sync.delta.local_version,
        is_replay=decision is Decision.REPLAY,
        region=outcome.region,
        pattern_count=outcome.pattern_count,
        tastes=outcome.tastes,
    )

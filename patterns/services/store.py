"""Apply a TV's delta: one transaction on one shard, with the version in it.

The device row is locked first, so two syncs of one TV queue up, and everything that
follows is decided on what that lock protects. A reply is sent after the commit, so a
TV that heard one finds its patterns after a crash; one that heard none sends the same
delta again and is recognised by version and digest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from numpy.typing import NDArray

from patterns import delta as deltas
from patterns.delta import Accepted, Changes, Decision, Delta, PatternAddition
from patterns.vectors import BinaryHalfVector, unit_rows
from shards import statistics, tokens
from shards.exceptions import DeviceUnknown
from shards.models import Device
from shards.tokens import DeviceToken

#: Nearest published cell of each row, -1 for none. (n, 384) float32 -> (n,) int64
AssignCells: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A delta that is stored, now or since an earlier try."""

    accepted: Accepted
    local_version: int
    is_replay: bool
    #: Where the TV is, for its trends.
    region: str
    pattern_count: int


def apply_delta(
    *,
    shard_alias: str,
    device_id: UUID,
    delta: Delta,
    assign_cells: AssignCells,
    token: DeviceToken | None = None,
    started: float | None = None,
) -> Applied:
    """Store a delta once, however often it is sent.

    ``token`` is the one the TV showed; None when an engineer stands in for the TV.
    ``started`` is when the request arrived, by ``time.perf_counter``.
    """
    now = timezone.now()
    started = time.perf_counter() if started is None else started
    with transaction.atomic(using=shard_alias):
        device = _lock_device(shard_alias, device_id, token)
        decision = deltas.decide(
            stored_version=device.local_version,
            stored_digest=bytes(device.delta_digest),
            delta=delta,
        )
        previous_count = device.pattern_count
        previous_sync_at = device.last_synced_at
        if decision is Decision.APPLY:
            _apply(shard_alias, device, delta, assign_cells, now)
        else:
            _touch(shard_alias, device, now)
        statistics.record_sync(
            shard_alias=shard_alias,
            now=now,
            previous_sync_at=previous_sync_at,
            latency_us=round((time.perf_counter() - started) * 1_000_000),
            pattern_delta=device.pattern_count - previous_count,
        )
    return Applied(
        accepted=_accepted_by(device),
        local_version=device.local_version,
        is_replay=decision is Decision.REPLAY,
        region=device.region,
        pattern_count=device.pattern_count,
    )


def _lock_device(
    shard_alias: str, device_id: UUID, token: DeviceToken | None
) -> Device:
    # No key of another table waits for this row, so the weaker lock is enough.
    device = (
        Device.objects.using(shard_alias)
        .select_for_update(no_key=True)
        .filter(pk=device_id)
        .first()
    )
    if device is None:
        raise DeviceUnknown(device_id=device_id)
    if token is not None:
        tokens.check_standing(token, device)
    return device


def _apply(
    shard_alias: str,
    device: Device,
    delta: Delta,
    assign_cells: AssignCells,
    now: datetime,
) -> None:
    changes = deltas.apply(
        _read_touched(shard_alias, device.id, delta.touched_ids()),
        delta,
        pattern_count=device.pattern_count,
        quality_threshold=settings.QUALITY_THRESHOLD,
        patterns_limit=settings.PATTERNS_PER_DEVICE,
    )
    with connections[shard_alias].cursor() as cursor:
        _upsert(cursor, device.id, changes.upserts, assign_cells, now)
        _update(cursor, device.id, changes, now)
        _delete(cursor, device.id, changes.deletes)
    _save_device(shard_alias, device, delta, changes, now)


def _read_touched(
    shard_alias: str, device_id: UUID, pattern_ids: Sequence[UUID]
) -> dict[UUID, deltas.StoredPattern]:
    if not pattern_ids:
        return {}
    with connections[shard_alias].cursor() as cursor:
        cursor.execute(
            """
            SELECT pattern_id, success_rate, sample_count
            FROM patterns_pattern
            WHERE device_id = %s AND pattern_id = ANY(%s)
            """,
            [device_id, list(pattern_ids)],
        )
        return {
            pattern_id: deltas.StoredPattern(success_rate=rate, sample_count=count)
            for pattern_id, rate, count in cursor.fetchall()
        }


_COLUMNS = (
    "device_id",
    "pattern_id",
    "embedding",
    "success_rate",
    "sample_count",
    "time_of_day",
    "day_of_week",
    "content_type",
    "genre_hints",
    "content_ids",
    "cell",
    "reported_at",
)
# The types say what the parameters are: in a VALUES list nothing else does.
_ROW = (
    "(%s::uuid, %s::uuid, %s::halfvec, %s::float8, %s::int8, %s::int2, %s::int2, "
    "%s::int2, %s::text[], %s::text[], %s::int4, %s::timestamptz)"
)
_UPSERT = f"""
    INSERT INTO patterns_pattern ({", ".join(_COLUMNS)})
    VALUES {{rows}}
    ON CONFLICT (device_id, pattern_id) DO UPDATE
    SET {", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[2:])}
"""


def _upsert(
    cursor: CursorWrapper,
    device_id: UUID,
    additions: Sequence[PatternAddition],
    assign_cells: AssignCells,
    now: datetime,
) -> None:
    if not additions:
        return
    embeddings = unit_rows(np.stack([a.embedding for a in additions]))
    cells = assign_cells(embeddings).tolist()
    parameters: list[Any] = []
    for addition, embedding, cell in zip(additions, embeddings, cells, strict=True):
        context = addition.context
        parameters += (
            device_id,
            addition.id,
            BinaryHalfVector(embedding),
            addition.success_rate,
            addition.sample_count,
            context.time_of_day,
            context.day_of_week,
            context.content_type,
            list(context.genre_hints),
            list(context.content_ids),
            cell if cell >= 0 else None,
            now,
        )
    rows = ", ".join([_ROW] * len(additions))
    cursor.execute(_UPSERT.format(rows=rows), parameters)


def _update(
    cursor: CursorWrapper, device_id: UUID, changes: Changes, now: datetime
) -> None:
    if not changes.updates:
        return
    cursor.execute(
        """
        UPDATE patterns_pattern AS pattern
        SET success_rate = new.success_rate,
            sample_count = new.sample_count,
            reported_at = %s
        FROM unnest(%s::uuid[], %s::float8[], %s::int8[])
            AS new (pattern_id, success_rate, sample_count)
        WHERE pattern.device_id = %s AND pattern.pattern_id = new.pattern_id
        """,
        [
            now,
            list(changes.updates),
            [pattern.success_rate for pattern in changes.updates.values()],
            [pattern.sample_count for pattern in changes.updates.values()],
            device_id,
        ],
    )


def _delete(
    cursor: CursorWrapper, device_id: UUID, pattern_ids: Sequence[UUID]
) -> None:
    if not pattern_ids:
        return
    cursor.execute(
        "DELETE FROM patterns_pattern WHERE device_id = %s AND pattern_id = ANY(%s)",
        [device_id, list(pattern_ids)],
    )


def _save_device(
    shard_alias: str,
    device: Device,
    delta: Delta,
    changes: Changes,
    now: datetime,
) -> None:
    device.local_version = delta.local_version
    device.delta_digest = delta.digest
    device.stored_count = changes.accepted.stored
    device.filtered_count = changes.accepted.filtered
    device.updated_count = changes.accepted.updated
    device.removed_count = changes.accepted.removed
    device.pattern_count = changes.pattern_count
    device.last_synced_at = now
    device.save(
        using=shard_alias,
        update_fields=[
            "local_version",
            "delta_digest",
            "stored_count",
            "filtered_count",
            "updated_count",
            "removed_count",
            "pattern_count",
            "last_synced_at",
        ],
    )


def _touch(shard_alias: str, device: Device, now: datetime) -> None:
    device.last_synced_at = now
    device.save(using=shard_alias, update_fields=["last_synced_at"])


def _accepted_by(device: Device) -> Accepted:
    return Accepted(
        stored=device.stored_count,
        filtered=device.filtered_count,
        updated=device.updated_count,
        removed=device.removed_count,
    )

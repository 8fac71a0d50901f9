"""A batch of syncs as one statement: each of another TV, all of one shard.

The statement takes the rows of the TVs it finds free, and says of each sync what it
found and what it did. It never waits for a TV: one whose row is locked, or was written
since the statement's snapshot, is left out, for whoever sent it to try again alone.
Every transaction that touches patterns writes the row of their TV as well, so a row
that is the same in the snapshot and under the lock vouches for the patterns.

Costs, at 4 million TVs and 20 million patterns: for each sync one look-up by key in
``shards_device``, for each id it names one in ``patterns_pattern``; two or three rows
of statistics a batch. Nothing scans.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db import connections
from numpy.typing import NDArray

from patterns import arrays
from patterns.delta import EMPTY_DIGEST, Delta
from patterns.reckoning import SAMPLE_COUNT_MAX, Reckoning, Wish
from patterns.vectors import unit_rows
from shards import statistics

#: Nearest published cell of each row, -1 for none. (n, 384) float32 -> (n,) int64
AssignCells: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.int64]]


@dataclass(slots=True, eq=False)
class Sync:
    """A delta on its way into a batch."""

    device_id: UUID
    delta: Delta
    reckoning: Reckoning
    assign_cells: AssignCells
    #: Of the token that the TV showed; None when an engineer stands in for the TV.
    token_epoch: int | None
    #: When the request arrived, by ``time.perf_counter``.
    started: float


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


def write(
    shard_alias: str, syncs: Sequence[Sync], *, now: datetime, latency_us: int
) -> dict[UUID, Outcome]:
    """Apply what can be applied; by TV what became of it.

    A TV that isn't in the answer is unknown, or was held by somebody else. ``syncs``
    are of different TVs. ``latency_us`` is the sum of what they took so far.
    """
    parameters = _parameters(syncs, now=now, latency_us=latency_us)
    with connections[shard_alias].cursor() as cursor:
        cursor.execute(_STATEMENT, parameters)
        rows = cursor.fetchall()
    return {row[0]: Outcome(*row) for row in rows}


def latency_us(syncs: Sequence[Sync]) -> int:
    """Sum how long they have been under way."""
    now = time.perf_counter()
    return round(sum(now - sync.started for sync in syncs) * 1_000_000)


def _parameters(
    syncs: Sequence[Sync], *, now: datetime, latency_us: int
) -> dict[str, Any]:
    return {
        **_of_syncs(syncs),
        **_of_touched(syncs),
        **_of_additions(syncs),
        **statistics.batch_parameters(now=now, latency_us=latency_us),
        "quality_threshold": settings.QUALITY_THRESHOLD,
        "patterns_limit": settings.PATTERNS_PER_DEVICE,
    }


_NONE = -1


def _of_syncs(syncs: Sequence[Sync]) -> dict[str, Any]:
    deltas = [sync.delta for sync in syncs]
    reckonings = [sync.reckoning for sync in syncs]
    return {
        "device_ids": arrays.uuids([sync.device_id.bytes for sync in syncs]),
        "local_versions": arrays.int8s([delta.local_version for delta in deltas]),
        "base_versions": arrays.int8s(
            [_NONE if d.base_version is None else d.base_version for d in deltas]
        ),
        "digests": arrays.byteas(delta.digest for delta in deltas),
        "token_epochs": arrays.int8s(
            [_NONE if s.token_epoch is None else s.token_epoch for s in syncs]
        ),
        "stored_counts": arrays.int2s([each.stored for each in reckonings]),
        "filtered_counts": arrays.int2s([each.filtered for each in reckonings]),
        "updated_counts": arrays.int2s([each.updated for each in reckonings]),
        "removed_counts": arrays.int2s([each.removed for each in reckonings]),
    }


def _of_touched(syncs: Sequence[Sync]) -> dict[str, Any]:
    owners: list[bytes] = []
    ids: list[bytes] = []
    wishes: list[bytes] = []
    rates: list[float] = []
    samples: list[int] = []
    for sync in syncs:
        reckoning = sync.reckoning
        owners += [sync.device_id.bytes] * len(reckoning.ids)
        ids += reckoning.ids
        wishes.append(reckoning.wishes)
        rates += reckoning.rates
        samples += reckoning.samples
    return {
        "touched_owners": arrays.uuids(owners),
        "touched_ids": arrays.uuids(ids),
        "touched_wishes": arrays.int2s(b"".join(wishes)),
        "touched_rates": arrays.float8s(rates),
        "touched_samples": arrays.int8s(samples),
    }


def _of_additions(syncs: Sequence[Sync]) -> dict[str, Any]:
    columns = _Columns()
    for sync in syncs:
        if sync.reckoning.rows:
            columns.add(sync)
    return columns.parameters()


class _Columns:
    """Rows that are to be stored, of all syncs of a batch."""

    def __init__(self) -> None:
        self._owners: list[bytes] = []
        self._ids: list[bytes] = []
        self._rates: list[float] = []
        self._samples: list[int] = []
        self._times: list[int] = []
        self._days: list[int] = []
        self._types: list[int] = []
        self._genres = _Names()
        self._contents = _Names()
        self._vectors: list[tuple[AssignCells, NDArray[np.float32]]] = []

    def add(self, sync: Sync) -> None:
        added, reckoning = sync.delta.added, sync.reckoning
        rows = reckoning.rows
        self._owners += [sync.device_id.bytes] * len(rows)
        self._ids += [added.ids[row] for row in rows]
        self._rates += reckoning.row_rates
        self._samples += reckoning.row_samples
        self._times += [added.times_of_day[row] for row in rows]
        self._days += [added.days_of_week[row] for row in rows]
        self._types += [added.content_types[row] for row in rows]
        self._genres.add([added.genre_hints[row] for row in rows])
        self._contents.add([added.content_ids[row] for row in rows])
        vectors = added.embeddings
        self._vectors.append(
            (
                sync.assign_cells,
                vectors if len(rows) == len(vectors) else vectors[list(rows)],
            )
        )

    def parameters(self) -> dict[str, Any]:
        embeddings, cells = self._placed()
        return {
            "added_owners": arrays.uuids(self._owners),
            "added_ids": arrays.uuids(self._ids),
            "added_embeddings": arrays.float4s(embeddings),
            "added_rates": arrays.float8s(self._rates),
            "added_samples": arrays.int8s(self._samples),
            "added_times": arrays.int2s(self._times),
            "added_days": arrays.int2s(self._days),
            "added_types": arrays.int2s(self._types),
            "added_genres": arrays.texts(self._genres.names),
            "added_genre_starts": arrays.int4s(self._genres.starts),
            "added_genre_ends": arrays.int4s(self._genres.ends),
            "added_contents": arrays.texts(self._contents.names),
            "added_content_starts": arrays.int4s(self._contents.starts),
            "added_content_ends": arrays.int4s(self._contents.ends),
            "added_cells": arrays.int4s(cells),
        }

    def _placed(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Normalise, and find the cell of each: at once for all of one publication."""
        if not self._vectors:
            return np.empty((0, 0), dtype=np.float32), np.empty(0, dtype=np.int64)
        embeddings = unit_rows(np.concatenate([rows for _, rows in self._vectors]))
        cells = np.empty(len(embeddings), dtype=np.int64)
        ends = np.cumsum([len(rows) for _, rows in self._vectors])
        first = begin = 0
        for place, (assign, _) in enumerate(self._vectors, start=1):
            if place < len(ends) and self._vectors[place][0] == assign:
                continue
            part = slice(begin, ends[place - 1])
            cells[part] = assign(embeddings[part])
            first, begin = place, part.stop
        assert first == len(ends)
        return embeddings, cells


class _Names:
    """Names of several rows in one list; each row's are between its two numbers."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        for row in rows:
            self.starts.append(len(self.names))
            self.names += row
            self.ends.append(len(self.names))


# The statement. Wishes are ``patterns.reckoning.Wish``; averaging takes the steps of
# ``patterns.reckoning.averaged``.

#: What an ``entry`` makes of a ``pattern``: ``after``.
AVERAGED = f"""
    CROSS JOIN LATERAL (
        SELECT pattern.success_rate + (entry.rate - pattern.success_rate)
            * (entry.samples::float8 / (pattern.sample_count::float8 + entry.samples))
    ) AS average (rate)
    CROSS JOIN LATERAL (
        SELECT
            LEAST(
                GREATEST(average.rate, LEAST(pattern.success_rate, entry.rate)),
                GREATEST(pattern.success_rate, entry.rate)
            ),
            CASE
                WHEN pattern.sample_count > {SAMPLE_COUNT_MAX} - entry.samples
                THEN {SAMPLE_COUNT_MAX}
                ELSE pattern.sample_count + entry.samples
            END
    ) AS after (rate, samples)
"""

_IS_UPDATE = f"wish IN ({Wish.UPDATE}, {Wish.UPDATE_AND_REMOVE})"

_STATEMENT = f"""
WITH sent AS MATERIALIZED (
    SELECT
        device_id, local_version, NULLIF(base_version, {_NONE}) AS base_version, digest,
        NULLIF(token_epoch, {_NONE}) AS token_epoch,
        stored_count, filtered_count, updated_count, removed_count
    FROM unnest(
        %(device_ids)s::uuid[], %(local_versions)s::int8[], %(base_versions)s::int8[],
        %(digests)s::bytea[], %(token_epochs)s::int8[], %(stored_counts)s::int2[],
        %(filtered_counts)s::int2[], %(updated_counts)s::int2[],
        %(removed_counts)s::int2[]
    ) AS sent (
        device_id, local_version, base_version, digest, token_epoch,
        stored_count, filtered_count, updated_count, removed_count
    )
), held AS MATERIALIZED (
    -- No key of another table waits for these rows, so the weaker lock is enough.
    SELECT id, device.xmin AS written_by
    FROM shards_device AS device
    WHERE id = ANY(%(device_ids)s::uuid[])
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
), found AS MATERIALIZED (
    SELECT
        device.*, sent.local_version AS sent_version, sent.digest AS sent_digest,
        sent.stored_count AS sent_stored, sent.filtered_count AS sent_filtered,
        sent.updated_count AS sent_updated, sent.removed_count AS sent_removed,
        stands.it AND sent.local_version > device.local_version
            AND COALESCE(sent.base_version, device.local_version)
                = device.local_version AS is_new,
        stands.it AND sent.local_version = device.local_version
            AND sent.digest = COALESCE(
                NULLIF(device.delta_digest, ''), '\\x{EMPTY_DIGEST.hex()}'::bytea
            ) AS is_replay
    FROM sent
    JOIN held ON held.id = sent.device_id
    JOIN shards_device AS device
        ON device.id = sent.device_id AND device.xmin = held.written_by
    CROSS JOIN LATERAL (
        SELECT device.revoked_at IS NULL
            AND COALESCE(sent.token_epoch, device.token_epoch) = device.token_epoch
    ) AS stands (it)
), touched AS MATERIALIZED (
    SELECT
        device.id AS device_id, entry.pattern_id, entry.wish,
        pattern.pattern_id IS NOT NULL AS is_stored,
        pattern.pattern_id IS NOT NULL AND {_IS_UPDATE}
            AND after.rate >= %(quality_threshold)s AS is_updated,
        after.rate, after.samples
    FROM unnest(
        %(touched_owners)s::uuid[], %(touched_ids)s::uuid[], %(touched_wishes)s::int2[],
        %(touched_rates)s::float8[], %(touched_samples)s::int8[]
    ) AS entry (device_id, pattern_id, wish, rate, samples)
    JOIN found AS device ON device.id = entry.device_id AND device.is_new
    LEFT JOIN patterns_pattern AS pattern
        ON pattern.device_id = entry.device_id
        AND pattern.pattern_id = entry.pattern_id
    {AVERAGED}
), judged AS MATERIALIZED (
    SELECT
        *,
        wish = {Wish.STORE} OR wish = {Wish.UPDATE} AND is_updated AS stays,
        is_stored AND {_IS_UPDATE} AND NOT is_updated AS is_filtered,
        wish = {Wish.REMOVE} AND is_stored
            OR wish = {Wish.UPDATE_AND_REMOVE} AND is_updated AS is_removed
    FROM touched
), summed AS (
    SELECT
        device_id,
        sum(stays::int - is_stored::int) AS growth,
        count(*) FILTER (WHERE is_filtered) AS filtered,
        count(*) FILTER (WHERE is_updated) AS updated,
        count(*) FILTER (WHERE is_removed) AS removed
    FROM judged
    GROUP BY device_id
), decided AS MATERIALIZED (
    SELECT
        found.*,
        COALESCE(growth, 0) AS growth,
        sent_filtered + COALESCE(filtered, 0) AS now_filtered,
        sent_updated + COALESCE(updated, 0) AS now_updated,
        sent_removed + COALESCE(removed, 0) AS now_removed,
        is_new AND NOT (
            COALESCE(growth, 0) > 0 AND pattern_count + growth > %(patterns_limit)s
        ) AS is_applied
    FROM found
    LEFT JOIN summed ON summed.device_id = found.id
), upserted AS (
    INSERT INTO patterns_pattern AS pattern (
        device_id, pattern_id, embedding, success_rate, sample_count, time_of_day,
        day_of_week, content_type, genre_hints, content_ids, cell, reported_at
    )
    SELECT
        added.device_id, pattern_id,
        (%(added_embeddings)s::float4[])[place * 384 - 383 : place * 384]::halfvec(384),
        rate, samples, time_of_day, day_of_week, content_type,
        (%(added_genres)s::text[])[genre_start + 1 : genre_end],
        (%(added_contents)s::text[])[content_start + 1 : content_end],
        NULLIF(cell, {_NONE}), %(now)s
    FROM unnest(
        %(added_owners)s::uuid[], %(added_ids)s::uuid[], %(added_rates)s::float8[],
        %(added_samples)s::int8[], %(added_times)s::int2[], %(added_days)s::int2[],
        %(added_types)s::int2[], %(added_genre_starts)s::int4[],
        %(added_genre_ends)s::int4[], %(added_content_starts)s::int4[],
        %(added_content_ends)s::int4[], %(added_cells)s::int4[]
    ) WITH ORDINALITY AS added (
        device_id, pattern_id, rate, samples, time_of_day, day_of_week, content_type,
        genre_start, genre_end, content_start, content_end, cell, place
    )
    JOIN decided ON decided.id = added.device_id AND is_applied
    ON CONFLICT (device_id, pattern_id) DO UPDATE SET
        embedding = excluded.embedding,
        success_rate = excluded.success_rate,
        sample_count = excluded.sample_count,
        time_of_day = excluded.time_of_day,
        day_of_week = excluded.day_of_week,
        content_type = excluded.content_type,
        genre_hints = excluded.genre_hints,
        content_ids = excluded.content_ids,
        cell = excluded.cell,
        reported_at = excluded.reported_at
), updated AS (
    UPDATE patterns_pattern AS pattern
    SET success_rate = judged.rate, sample_count = judged.samples, reported_at = %(now)s
    FROM judged
    JOIN decided ON decided.id = judged.device_id AND is_applied
    WHERE wish = {Wish.UPDATE} AND stays
        AND pattern.device_id = judged.device_id
        AND pattern.pattern_id = judged.pattern_id
), deleted AS (
    DELETE FROM patterns_pattern AS pattern
    USING judged
    JOIN decided ON decided.id = judged.device_id AND is_applied
    WHERE is_stored AND NOT stays
        AND pattern.device_id = judged.device_id
        AND pattern.pattern_id = judged.pattern_id
), saved AS (
    UPDATE shards_device AS device
    SET
        last_synced_at = %(now)s,
        local_version = CASE WHEN is_applied THEN sent_version
            ELSE decided.local_version END,
        delta_digest = CASE WHEN is_applied THEN sent_digest
            ELSE decided.delta_digest END,
        stored_count = CASE WHEN is_applied THEN sent_stored
            ELSE decided.stored_count END,
        filtered_count = CASE WHEN is_applied THEN now_filtered
            ELSE decided.filtered_count END,
        updated_count = CASE WHEN is_applied THEN now_updated
            ELSE decided.updated_count END,
        removed_count = CASE WHEN is_applied THEN now_removed
            ELSE decided.removed_count END,
        pattern_count = decided.pattern_count
            + CASE WHEN is_applied THEN growth ELSE 0 END
    FROM decided
    WHERE device.id = decided.id AND (is_applied OR is_replay)
), heard AS (
    SELECT
        last_synced_at AS previous_sync_at,
        CASE WHEN is_applied THEN growth ELSE 0 END AS pattern_delta
    FROM decided
    WHERE is_applied OR is_replay
), {statistics.RECORD_BATCH}
SELECT
    id, revoked_at, token_epoch, region, local_version, delta_digest, is_applied,
    CASE WHEN is_applied THEN sent_stored ELSE stored_count END,
    CASE WHEN is_applied THEN now_filtered ELSE filtered_count END,
    CASE WHEN is_applied THEN now_updated ELSE updated_count END,
    CASE WHEN is_applied THEN now_removed ELSE removed_count END,
    pattern_count + CASE WHEN is_new THEN growth ELSE 0 END
FROM decided
"""

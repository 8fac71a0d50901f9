"""Syncs as the parameters of one statement: a column each, for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from patterns import arrays
from patterns.delta import Delta
from patterns.reckoning import Reckoning
from patterns.vectors import unit_rows
from shards.tokens import DeviceToken

#: What stands for a null.
NONE = -1

#: Nearest published cell of each row, -1 for none. (n, 384) float32 -> (n,) int64
AssignCells: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.int64]]


@dataclass(slots=True, eq=False)
class Sync:
    """A delta on its way into a group."""

    device_id: UUID
    delta: Delta
    reckoning: Reckoning
    assign_cells: AssignCells
    #: The one that the TV showed; None when an engineer stands in for the TV.
    token: DeviceToken | None
    #: When the request arrived, by ``time.perf_counter``.
    started: float
    #: Whether it is to be answered from the TV's patterns, as they are afterwards.
    wants_tastes: bool


def parameters(syncs: Sequence[Sync]) -> dict[str, Any]:
    return {**_of_syncs(syncs), **_of_touched(syncs), **_of_additions(syncs)}


def _of_syncs(syncs: Sequence[Sync]) -> dict[str, Any]:
    deltas = [sync.delta for sync in syncs]
    reckonings = [sync.reckoning for sync in syncs]
    return {
        "device_ids": arrays.uuids([sync.device_id.bytes for sync in syncs]),
        "local_versions": arrays.int8s([delta.local_version for delta in deltas]),
        "base_versions": arrays.int8s(
            [NONE if d.base_version is None else d.base_version for d in deltas]
        ),
        "digests": arrays.byteas(delta.digest for delta in deltas),
        "token_epochs": arrays.int8s(
            [NONE if s.token is None else s.token.token_epoch for s in syncs]
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
    """Rows that are to be stored, of all syncs of a group."""

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

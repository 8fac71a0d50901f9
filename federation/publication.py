"""The current publication, held in memory: what TVs are answered from.

One small query a call tells whether a newer version was published; only then are its
rows read. Requests that arrive meanwhile are answered from the version before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from federation import codebooks, rows, selectors
from federation.codebooks import Codebooks
from federation.codes import PublishedCodes
from federation.kernels.quantise import CodedCentroids, quantise
from federation.result import ResultPattern, RoundResult
from patterns import items
from patterns.context import ContentType, DayOfWeek, TimeOfDay
from patterns.items import ItemTable


class PublishedContext(TypedDict):
    """The circumstances typical of a cell; a key is absent if nothing is typical."""

    time_of_day: NotRequired[str]
    day_of_week: NotRequired[str]
    content_type: NotRequired[str]
    genre_hints: list[str]


class PublishedPattern(TypedDict):
    """A global pattern in the words of the sync reply."""

    #: The cell's number.
    id: int
    #: float32, shape (384,), unit length.
    embedding: NDArray[np.float32]
    success_rate: float
    sample_count: int
    context: PublishedContext
    content_ids: list[str]


@dataclass(frozen=True, eq=False)
class LoadedPublication:
    """One version, ready to answer from. Version 0 is empty: nothing published yet."""

    version: int
    checksum: str
    #: Ascending. int64, shape (n,)
    cells: NDArray[np.int64]
    #: Unit length, row i belongs to ``cells[i]``. float32, shape (n, 384)
    centroids: NDArray[np.float32]
    #: Weight of each cell, as TVs. float32, shape (n,)
    mass: NDArray[np.float32]
    #: Row i belongs to ``cells[i]``.
    patterns: tuple[PublishedPattern, ...]
    #: By region: (item, score), strongest first.
    trends: dict[str, list[tuple[str, float]]]
    #: By content id: (content id, weight), strongest first.
    links: dict[str, list[tuple[str, float]]]
    #: All that is published here has an ordinal, unless it predates ordinals.
    items: ItemTable

    codebooks: Codebooks
    #: The centroids as codes of each codebook, row i belonging to ``cells[i]``.
    codes: PublishedCodes = field(repr=False)

    _coded: CodedCentroids = field(repr=False)

    def assign(self, embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
        """Name the nearest published cell of each row, by the round's own kernel.

        −1 everywhere while nothing is published.
        """
        nearest, _ = self._coded.nearest(quantise(embeddings))
        if len(self.cells) == 0:
            return nearest
        return self.cells[nearest]


def current(
    shard_alias: str,
    *,
    at_least: int = 0,
    prepare: Callable[[LoadedPublication], object] | None = None,
) -> LoadedPublication:
    """Give the shard's current publication, read anew when its pointer has moved.

    ``at_least`` is the version that the TV holds, which it may have from another
    process: what it gets is not older, unless the shard itself fell behind.
    ``prepare`` is called with a version that was just read, before anybody gets it.
    """
    pointer = selectors.pointer(shard_alias)
    loaded = _loaded.get(shard_alias)
    if loaded is not None and _is(loaded, pointer):
        return loaded
    lock = _locks[shard_alias]
    # Somebody is reading the new version: the old one does until that is done.
    must_wait = loaded is None or loaded.version < at_least
    if not lock.acquire(blocking=must_wait) and loaded is not None:
        return loaded
    try:
        # Asked again: with the pointer from before the lock, a newer version that
        # another thread has just loaded could be replaced by an older one.
        pointer = selectors.pointer(shard_alias)
        loaded = _loaded.get(shard_alias)
        if loaded is None or not _is(loaded, pointer):
            loaded = _held_for_another_shard(pointer) or _load(
                shard_alias, pointer, before=loaded
            )
            if prepare is not None:
                prepare(loaded)
            _loaded[shard_alias] = loaded
        return loaded
    finally:
        lock.release()


_loaded: dict[str, LoadedPublication] = {}
_locks: defaultdict[str, Lock] = defaultdict(Lock)


def _is(loaded: LoadedPublication, pointer: selectors.Pointer) -> bool:
    return (loaded.version, loaded.checksum) == (pointer.version, pointer.checksum)


def _held_for_another_shard(pointer: selectors.Pointer) -> LoadedPublication | None:
    """All shards publish the same: one copy serves them all."""
    return next((each for each in list(_loaded.values()) if _is(each, pointer)), None)


def _load(
    shard_alias: str, pointer: selectors.Pointer, *, before: LoadedPublication | None
) -> LoadedPublication:
    if pointer.version == 0:
        result = RoundResult()
    else:
        result = rows.read_result(shard_alias, pointer.version)
    return of_result(
        result,
        pointer,
        items=items.load(shard_alias, before.items if before else None),
        codebooks=codebooks.load(
            shard_alias,
            pointer.version,
            known=before.codebooks if before else Codebooks(),
        ),
    )


def of_result(
    result: RoundResult,
    pointer: selectors.Pointer,
    *,
    items: ItemTable,
    codebooks: Codebooks,
) -> LoadedPublication:
    """Make a round's result ready to answer from."""
    trends: dict[str, list[tuple[str, float]]] = {}
    for trend in result.trends:
        trends.setdefault(trend.region, []).append((trend.item, trend.score))
    return LoadedPublication(
        version=pointer.version,
        checksum=pointer.checksum,
        cells=np.array([row.cell for row in result.patterns], dtype=np.int64),
        centroids=result.embeddings,
        mass=np.array([row.mass for row in result.patterns], dtype=np.float32),
        patterns=tuple(
            _published_pattern(row, embedding)
            for row, embedding in zip(result.patterns, result.embeddings, strict=True)
        ),
        trends=trends,
        links={
            row.content_id: list(zip(row.related_ids, row.weights, strict=True))
            for row in result.links
        },
        items=items,
        codebooks=codebooks,
        codes=PublishedCodes(codebooks, result.embeddings),
        _coded=CodedCentroids(result.embeddings),
    )


def _published_pattern(
    row: ResultPattern, embedding: NDArray[np.float32]
) -> PublishedPattern:
    context: PublishedContext = {"genre_hints": list(row.genre_hints)}
    if row.time_of_day:
        context["time_of_day"] = TimeOfDay(row.time_of_day).label
    if row.day_of_week:
        context["day_of_week"] = DayOfWeek(row.day_of_week).label
    if row.content_type:
        context["content_type"] = ContentType(row.content_type).label
    return {
        "id": row.cell,
        "embedding": embedding,
        "success_rate": row.success_rate,
        "sample_count": row.sample_count,
        "context": context,
        "content_ids": list(row.content_ids),
    }

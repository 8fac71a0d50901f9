"""A publication in memory, ready to answer TVs from. ``holding`` keeps the current."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from federation import codebooks, rows
from federation.codebooks import Codebooks
from federation.codes import PublishedCodes
from federation.kernels.quantise import CodedCentroids, quantise
from federation.result import ResultPattern, RoundResult
from federation.selectors import Pointer
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

    def is_of(self, pointer: Pointer) -> bool:
        return (self.version, self.checksum) == pointer

    def assign(self, embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
        """Name the nearest published cell of each row, by the round's own kernel.

        −1 everywhere while nothing is published.
        """
        nearest, _ = self._coded.nearest(quantise(embeddings))
        if len(self.cells) == 0:
            return nearest
        return self.cells[nearest]


def load(
    shard_alias: str, pointer: Pointer, *, before: LoadedPublication | None
) -> LoadedPublication:
    """Read a version of a shard; what ``before`` has of it already isn't read again.

    4,096 patterns and 20,000 linked contents take a second of one core.
    """
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
    pointer: Pointer,
    *,
    items: ItemTable,
    codebooks: Codebooks,
) -> LoadedPublication:
    """Make a round's result ready to answer from."""
    names = _Names()
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
            row.content_id: list(
                zip(map(names.of, row.related_ids), row.weights, strict=True)
            )
            for row in result.links
        },
        items=items,
        codebooks=codebooks,
        codes=PublishedCodes(codebooks, result.embeddings),
        _coded=CodedCentroids(result.embeddings),
    )


class _Names(dict[str, str]):
    """Each name once: the rows of a table have each its own copy."""

    def of(self, name: str) -> str:
        return self.setdefault(name, name)


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

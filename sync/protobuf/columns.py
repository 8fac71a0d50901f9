"""A publication as replies write it, prepared once and then only picked from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Lock, local
from weakref import WeakKeyDictionary

import numpy as np
from django.db.models import IntegerChoices
from numpy.typing import NDArray

from constellation.v1 import content_pb2, sync_pb2
from federation.publication import LoadedPublication, PublishedPattern
from patterns.context import GENRE_PREFIX, ContentType, DayOfWeek, TimeOfDay
from shards.models import GLOBAL_REGION
from sync import answer
from sync.fields import codes_by_name

#: Steps of the one byte that says a fraction, and of the two that say a score.
FRACTION_STEPS = 255
SCORE_STEPS = 65535

#: Steps of a mass each time it doubles.
MASS_STEPS = 8
MASS_MAX = 255

_OrdinalOf = Callable[[str], int | None]


@dataclass(frozen=True, eq=False)
class Lists:
    """Ordinals of several items a row, at the left; 0 where there are no more."""

    #: int64, shape (n, most of any row)
    ordinals: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Iterable[str]], ordinal_of: _OrdinalOf) -> Lists:
        """Turn names into ordinals; those without one are left out."""
        found = [[o for o in map(ordinal_of, row) if o] for row in rows]
        table = np.zeros((len(rows), max(map(len, found), default=0)), dtype=np.int64)
        counts = np.fromiter(map(len, found), np.int64, len(found))
        table[np.arange(table.shape[1]) < counts[:, None]] = np.fromiter(
            chain.from_iterable(found), np.int64
        )
        return cls(table)

    def message(self, rows: NDArray[np.int64]) -> content_pb2.ReferenceLists:
        ordinals = self.ordinals[rows]
        is_there = ordinals > 0
        references = ordinals[is_there].tolist()
        if not references:
            return content_pb2.ReferenceLists()
        counts = is_there.sum(axis=1, dtype=np.uint8)
        return content_pb2.ReferenceLists(
            counts=counts.tobytes(), references=references
        )


class Scratch(local):
    """A number for each target; each thread has its own and may write over them."""

    def __init__(self, size: int) -> None:
        self.numbers = np.zeros(size, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class LinkTable:
    """What contents lead on to: those that have ordinals.

    Row 0 is that of no content, and leads nowhere.
    """

    #: The row of each content.
    rows: dict[str, int]
    #: Its ordinal. int64, shape (n,)
    sources: NDArray[np.int64]
    #: What that takes as a varint, and one for the count. uint8, shape (n,)
    source_bytes: NDArray[np.uint8]
    #: Ordinals of all that links lead to, ascending, behind a zero. int64, shape (t,)
    targets: NDArray[np.int64]
    #: The place of each content in ``targets``.
    target_places: dict[str, int]
    #: Where a content leads, strongest first, as places in ``targets``; 0 where there
    #: is nothing more. shape (n, 14)
    related: NDArray[np.intp]
    #: uint8, shape (n, 14)
    weights: NDArray[np.uint8]
    #: As long as ``targets``.
    scratch: Scratch

    @classmethod
    def of(cls, publication: LoadedPublication) -> LinkTable:
        links, ordinal_of = publication.links, publication.items.ordinal_of
        sources = {name: o for name in links if (o := ordinal_of(name))}
        found = {to for related in links.values() for to, _ in related}
        by_ordinal = sorted((o, name) for name in found if (o := ordinal_of(name)))
        places = {name: place for place, (_, name) in enumerate(by_ordinal, start=1)}
        rows = {name: row for row, name in enumerate(sources, start=1)}
        shape = 1 + len(rows), max(map(len, links.values()), default=0)
        related, weights = np.zeros(shape, dtype=np.intp), np.zeros(shape)
        for name, row in rows.items():
            count = len(links[name])
            related[row, :count] = [places.get(to, 0) for to, _ in links[name]]
            weights[row, :count] = [weight for _, weight in links[name]]
        ordinals = np.array([0, *sources.values()], dtype=np.int64)
        source_bytes = _varint_bytes(ordinals) + 1
        source_bytes[0] = 0
        return cls(
            rows=rows,
            sources=ordinals,
            source_bytes=source_bytes,
            targets=np.array([0, *(o for o, _ in by_ordinal)], dtype=np.int64),
            target_places=places,
            related=related,
            weights=fractions(weights),
            scratch=Scratch(1 + len(places)),
        )


@dataclass(frozen=True, eq=False)
class Columns:
    """Row i of each column is pattern i of the publication."""

    #: uint8, shape (n,)
    success_rates: NDArray[np.uint8]
    masses: NDArray[np.uint8]
    times_of_day: NDArray[np.uint8]
    days_of_week: NDArray[np.uint8]
    content_types: NDArray[np.uint8]
    #: uint64, shape (n,)
    sample_counts: NDArray[np.uint64]
    genre_hints: Lists
    content_ids: Lists
    links: LinkTable
    #: A serialised ``GlobalNews`` of trends only, by region; "global" is always there.
    trending: dict[str, bytes]

    def trending_of(self, region: str) -> bytes:
        return self.trending.get(region) or self.trending[GLOBAL_REGION]


def of(publication: LoadedPublication) -> Columns:
    """Give the columns of a publication, made by who asks first."""
    columns = _prepared.get(publication)
    if columns is not None:
        return columns
    with _lock:
        if publication not in _prepared:
            _prepared[publication] = _prepare(publication)
        return _prepared[publication]


# Weak, and columns don't know their publication: they go when it goes.
_prepared: WeakKeyDictionary[LoadedPublication, Columns] = WeakKeyDictionary()
_lock = Lock()


def _prepare(publication: LoadedPublication) -> Columns:
    patterns = publication.patterns
    ordinal_of = publication.items.ordinal_of
    contexts = [pattern["context"] for pattern in patterns]
    return Columns(
        success_rates=fractions([pattern["success_rate"] for pattern in patterns]),
        masses=_masses(publication.mass),
        times_of_day=_words([c.get("time_of_day") for c in contexts], TimeOfDay),
        days_of_week=_words([c.get("day_of_week") for c in contexts], DayOfWeek),
        content_types=_words([c.get("content_type") for c in contexts], ContentType),
        sample_counts=_sample_counts(patterns),
        genre_hints=Lists.of(
            [[GENRE_PREFIX + genre for genre in c["genre_hints"]] for c in contexts],
            ordinal_of,
        ),
        content_ids=Lists.of([each["content_ids"] for each in patterns], ordinal_of),
        links=LinkTable.of(publication),
        trending={
            region: _trending(publication, region)
            for region in {*publication.trends, GLOBAL_REGION}
        },
    )


def _varint_bytes(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Tell how many bytes each number, 0 or more, takes in protobuf."""
    ends = np.array([1 << bits for bits in range(7, 63, 7)], dtype=np.int64)
    return (1 + np.searchsorted(ends, numbers, side="right")).astype(np.uint8)


def fractions(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.uint8]:
    steps = np.rint(np.clip(np.asarray(values, np.float64), 0, 1) * FRACTION_STEPS)
    column: NDArray[np.uint8] = steps.astype(np.uint8)
    return column


def _masses(masses: NDArray[np.float32]) -> NDArray[np.uint8]:
    steps = np.rint(MASS_STEPS * np.log2(1 + masses.astype(np.float64)))
    column: NDArray[np.uint8] = np.minimum(steps, MASS_MAX).astype(np.uint8)
    return column


def _words(
    words: Sequence[str | None], choices: type[IntegerChoices]
) -> NDArray[np.uint8]:
    codes = codes_by_name(choices)
    return np.array([codes[word] if word else 0 for word in words], np.uint8)


def _sample_counts(patterns: Sequence[PublishedPattern]) -> NDArray[np.uint64]:
    return np.array([each["sample_count"] for each in patterns], dtype=np.uint64)


def _trending(publication: LoadedPublication, region: str) -> bytes:
    message = sync_pb2.GlobalNews()
    for trend in answer.trending(publication, region):
        ordinal = publication.items.ordinal_of(trend.item)
        if ordinal is None:
            continue
        if not message.trending or message.trending[-1].region != trend.region:
            message.trending.add(region=trend.region)
        message.trending[-1].references.append(ordinal)
        message.trending[-1].scores += _score(trend.score)
    return message.SerializeToString()


def _score(value: float) -> bytes:
    return round(min(max(value, 0.0), 1.0) * SCORE_STEPS).to_bytes(2, "little")

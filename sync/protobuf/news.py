"""What everyone learned: ``GlobalNews`` of ``sync.proto``, column by column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from django.db.models import IntegerChoices
from numpy.typing import NDArray

from constellation.v1 import content_pb2, embedding_pb2, pattern_pb2, sync_pb2
from patterns.context import ContentType, DayOfWeek, TimeOfDay
from sync import embeddings, fields
from sync.embeddings import EmbeddingEncoding
from sync.messages import GlobalNews, Wishes

#: Steps of the one byte that says a fraction, and of the two that say a score.
FRACTION_STEPS = 255
SCORE_STEPS = 65535

#: As many contents as one byte tells apart.
ONE_BYTE_PLACES = 256

#: Steps of a mass each time it doubles.
MASS_STEPS = 8


class _Names:
    """The names of a reply, each once, and their places as references."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def reference(self, name: str) -> int:
        return self._places.setdefault(name, len(self._places))

    def references(self, names: Iterable[str]) -> list[int]:
        return [self.reference(name) for name in names]

    def lists(self, rows: Sequence[Sequence[str]]) -> content_pb2.ReferenceLists:
        if not any(rows):
            return content_pb2.ReferenceLists()
        return content_pb2.ReferenceLists(
            counts=bytes(map(len, rows)),
            references=[self.reference(name) for row in rows for name in row],
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)


def write(message: sync_pb2.GlobalNews, news: GlobalNews, wishes: Wishes) -> None:
    names = _Names()
    _write_similar(message.similar, news, wishes, names)
    for trend in news.trending:
        if not message.trending or message.trending[-1].region != trend.region:
            message.trending.add(region=trend.region)
        message.trending[-1].references.append(names.reference(trend.item))
        message.trending[-1].scores += _score(trend.score)
    if news.links:
        related = [each.related for each in news.links]
        message.links.references.extend(
            names.references(each.content_id for each in news.links)
        )
        message.links.counts = bytes(map(len, related))
        ends = names.references(name for row in related for name, _ in row)
        distinct, places = np.unique(np.array(ends, np.int64), return_inverse=True)
        message.links.related_deltas.extend(np.diff(distinct, prepend=0).tolist())
        message.links.places = places.astype(
            "u1" if len(distinct) <= ONE_BYTE_PLACES else "<u2"
        ).tobytes()
        message.links.weights = _fractions(
            [weight for row in related for _, weight in row]
        )
    message.names.extend(names)


def _write_similar(
    message: pattern_pb2.SimilarPatterns,
    news: GlobalNews,
    wishes: Wishes,
    names: _Names,
) -> None:
    # Present even when it is empty: this is how a TV knows that there are news.
    message.SetInParent()
    rows = news.similar
    if not rows:
        return
    ids = np.array([row["id"] for row in rows], dtype=np.int64)
    message.id_deltas.extend(np.diff(ids, prepend=0).tolist())
    vectors = np.stack([row["embedding"] for row in rows])
    message.embeddings.CopyFrom(embedding_block(vectors, wishes.embedding_encoding))
    message.success_rates = _fractions([row["success_rate"] for row in rows])
    message.masses = bytes(map(_mass, news.masses))
    if wishes.is_compact:
        return
    contexts = [row["context"] for row in rows]
    message.sample_counts.extend(row["sample_count"] for row in rows)
    message.times_of_day = _codes([c.get("time_of_day") for c in contexts], TimeOfDay)
    message.days_of_week = _codes([c.get("day_of_week") for c in contexts], DayOfWeek)
    message.content_types = _codes(
        [c.get("content_type") for c in contexts], ContentType
    )
    message.genre_hints.CopyFrom(
        names.lists([[f"genre:{g}" for g in c["genre_hints"]] for c in contexts])
    )
    message.content_ids.CopyFrom(names.lists([row["content_ids"] for row in rows]))


def embedding_block(
    vectors: NDArray[np.float32], encoding: EmbeddingEncoding
) -> embedding_pb2.Embeddings:
    """Write a (n, 384) matrix of unit vectors as one field."""
    message = embedding_pb2.Embeddings()
    setattr(message, encoding.label, embeddings.encode(vectors, encoding))
    return message


def _codes(labels: Sequence[str | None], choices: type[IntegerChoices]) -> bytes:
    """One byte each; nothing at all if nothing is said of any."""
    codes = fields.codes_by_name(choices)
    column = bytes(0 if label is None else codes[label] for label in labels)
    return column if any(column) else b""


def _fractions(values: Sequence[float]) -> bytes:
    steps = np.rint(np.clip(np.array(values), 0, 1) * FRACTION_STEPS)
    column: bytes = steps.astype(np.uint8).tobytes()
    return column


def _score(value: float) -> bytes:
    return round(min(max(value, 0.0), 1.0) * SCORE_STEPS).to_bytes(2, "little")


def _mass(value: float) -> int:
    return min(255, round(MASS_STEPS * math.log2(1 + value)))

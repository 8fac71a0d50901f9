"""What a TV says to the server and what it hears, as plain values.

Nothing here decides anything: the brain learns, the outbox chooses what to send,
the client carries it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

EMBEDDING_DIMENSIONS = 384

#: Digits after the point. A component of a unit vector is about 0.05, so four keep
#: the direction to a cosine of 0.99999, at half the bytes of a full float.
EMBEDDING_DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class Context:
    """The circumstances a pattern was learned in; None where nothing stands out."""

    time_of_day: str | None = None
    day_of_week: str | None = None
    content_type: str | None = None
    genre_hints: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        names = ("time_of_day", "day_of_week", "content_type")
        known = {n: value for n in names if (value := getattr(self, n)) is not None}
        return known | {"genre_hints": list(self.genre_hints)}


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPattern:
    """One taste of a household."""

    id: UUID
    embedding: Vector
    #: How often something of this taste was watched, and how often it was liked.
    watched_count: int
    liked_count: int
    context: Context
    content_ids: tuple[str, ...]

    @property
    def success_rate(self) -> float:
        return self.liked_count / self.watched_count

    @property
    def fingerprint(self) -> str:
        """Name everything that an update can't change, only a new addition."""
        digest = hashlib.sha256(np.round(self.embedding, EMBEDDING_DECIMALS).tobytes())
        digest.update(repr((self.context, self.content_ids)).encode())
        return digest.hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "embedding": np.round(
                self.embedding.astype(np.float64), EMBEDDING_DECIMALS
            ).tolist(),
            "success_rate": self.success_rate,
            "sample_count": self.watched_count,
            "context": self.context.to_json() | {"content_ids": list(self.content_ids)},
        }


@dataclass(frozen=True, kw_only=True)
class Received:
    """What the fleet learned, as far as this TV was told."""

    #: None before the first answer.
    global_version: int | None = None
    #: Row i is the direction of global pattern i. Half precision: a fleet of
    #: thousands of TVs in one process holds thousands of these.
    similar_embeddings: NDArray[np.float16] = field(
        default_factory=lambda: np.zeros((0, EMBEDDING_DIMENSIONS), np.float16)
    )
    similar_success: Vector = field(default_factory=lambda: np.zeros(0, np.float32))
    similar_content_ids: tuple[tuple[str, ...], ...] = ()
    trends: tuple[tuple[str, float], ...] = ()
    links: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)

    def updated_with(self, answer: Mapping[str, Any]) -> Received:
        """Take in the ``global`` part of a reply.

        A reply to a TV that is up to date carries the version and no lists.
        """
        if "similar" not in answer:
            return self

        similar = answer["similar"]
        return Received(
            global_version=answer["global_version"],
            similar_embeddings=np.array(
                [each["embedding"] for each in similar], np.float16
            ).reshape(len(similar), EMBEDDING_DIMENSIONS),
            similar_success=np.array(
                [each["success_rate"] for each in similar], np.float32
            ),
            similar_content_ids=tuple(
                tuple(each.get("content_ids", ())) for each in similar
            ),
            trends=tuple(
                (each["content_id"], float(each["trending_score"]))
                for each in answer.get("trending", ())
            ),
            links={
                each["content_id"]: [(other, float(w)) for other, w in each["related"]]
                for each in answer.get("links", ())
            },
        )

"""Patterns and viewings made to order."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from fleet.brain import Viewing
from fleet.wire import EMBEDDING_DIMENSIONS, Context, LearnedPattern, Vector

MONDAY_EVENING = datetime(2026, 1, 5, 19, tzinfo=UTC)


def direction(axis: int) -> Vector:
    """A unit vector at right angles to those of all other axes."""
    vector = np.zeros(EMBEDDING_DIMENSIONS, np.float32)
    vector[axis] = 1
    return vector


def near(axis: int, *, stray: float, towards: int) -> Vector:
    """A unit vector at the cosine ``1 - stray`` from an axis."""
    cosine = 1 - stray
    vector: Vector = cosine * direction(axis) + np.sqrt(1 - cosine**2) * direction(
        towards
    )
    return vector.astype(np.float32)


def pattern(number: int, *, watched: int = 10, liked: int = 9) -> LearnedPattern:
    return LearnedPattern(
        id=UUID(int=number),
        embedding=direction(number),
        watched_count=watched,
        liked_count=liked,
        context=Context(time_of_day="evening", genre_hints=("thriller",)),
        content_ids=(f"content-{number}",),
    )


def viewing(
    content_id: str,
    embedding: Vector,
    *,
    is_liked: bool = True,
    enjoyment: float = 1.0,
    watched_at: datetime = MONDAY_EVENING,
    genres: tuple[str, ...] = (),
    content_type: str | None = None,
) -> Viewing:
    return Viewing(
        content_id=content_id,
        embedding=embedding,
        is_liked=is_liked,
        enjoyment=enjoyment,
        watched_at=watched_at,
        genres=genres,
        content_type=content_type,
    )

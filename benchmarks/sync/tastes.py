"""What made-up TVs like: tastes, patterns around them, and their contents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 384

#: As many as a publication has global patterns at most.
TASTES = 4_096

#: Patterns that rows are chosen from; a taste has as many as any other.
PATTERNS = 1 << 16

#: How far they lie from their taste.
SPREAD = 0.4

CONTENTS_PER_TASTE = 7
CONTENTS = TASTES * CONTENTS_PER_TASTE
GENRES = 40

TITLE = "film-%05d"
GENRE = "genre %02d"


@dataclass(frozen=True, eq=False)
class Patterns:
    """Vectors of length one, and the taste of each."""

    vectors: NDArray[np.float32]
    tastes: NDArray[np.int64]


@cache
def directions(count: int = TASTES) -> NDArray[np.float32]:
    """Unit vectors whose components fade out, as those of sentence models do."""
    fading = (0.985 ** np.arange(DIMENSIONS)).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal((TASTES, DIMENSIONS), np.float32)
    return _unit(noise * fading)[:count]


@cache
def patterns(count: int = PATTERNS, *, n_tastes: int = TASTES) -> Patterns:
    """Patterns of all tastes by turns."""
    rng = np.random.default_rng(1)
    tastes = np.arange(count) % n_tastes
    fading = (0.985 ** np.arange(DIMENSIONS)).astype(np.float32)
    fading *= SPREAD / np.linalg.norm(fading)
    noise = rng.standard_normal((count, DIMENSIONS), np.float32) * fading
    return Patterns(_unit(directions(n_tastes)[tastes] + noise), tastes)


def contents(
    tastes: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Numbers of contents: the taste's first, and others at growing distance."""
    steps = rng.integers(1, 8, size=(len(tastes), count)).cumsum(axis=1)
    steps[:, 0] = 0
    numbers: NDArray[np.int64] = tastes[:, np.newaxis] * CONTENTS_PER_TASTE + steps
    return numbers % CONTENTS


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / norms

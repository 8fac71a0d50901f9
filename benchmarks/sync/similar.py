"""The 100 cells a TV is answered with: how long they take, and whether they are right.

In process, as the product does it, for TVs of several tastes among 4,096 cells. What is
right is found by a naive search, which orders everything and is served like queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.sync import tastes
from federation.kernels import nearest_cells

#: As many as TVs of a full shard have patterns, on average.
TASTES_PER_TV = 5

WANTED = 100
WARM_UP = 50

#: Components are rounded to so many steps: sums of their products are then whole
#: numbers of steps below 2²⁴, the same in any order, and equals are equal to both.
STEPS = 1 << 10


@dataclass(frozen=True, eq=False)
class Household:
    """A TV's patterns, shape (p, 384), and how much each counts."""

    own: NDArray[np.float32]
    weights: NDArray[np.float32]


def cells() -> NDArray[np.float32]:
    """What all are searched in. float32, shape (4096, 384)"""
    return _rounded(tastes.directions())


def households(count: int, *, n_tastes: int = TASTES_PER_TV) -> Sequence[Household]:
    """TVs with patterns around tastes of the fleet, some liked more than others."""
    rng = np.random.default_rng(2)
    stock = _rounded(tastes.patterns().vectors)
    return [
        Household(
            own=stock[rng.choice(len(stock), n_tastes, replace=False)],
            weights=rng.uniform(1, 30, n_tastes).astype(np.float32),
        )
        for _ in range(count)
    ]


def measured(*, rounds: int = 5, tvs: int = 400) -> dict[str, float]:
    """Measure the kernel: medians over rounds; recall over all TVs of one.

    Keys: ``similar_p50_ms``, ``similar_p99_ms``, ``similar_recall``, and
    ``similar_p99_cpu_ms``, which others on the machine hardly move.
    """
    published, asking = cells(), households(tvs)
    search = searching(published)
    with threadpool_limits(limits=1, user_api="blas"):
        answers = [search(each) for each in asking]
        seconds = np.array([timed(search, asking) for _ in range(rounds)])
        cpu = [timed(search, asking, time.thread_time) for _ in range(rounds)]
    return {
        "similar_p50_ms": float(np.median(seconds)) * 1000,
        "similar_p99_ms": p99_ms(seconds),
        "similar_p99_cpu_ms": p99_ms(np.array(cpu)),
        "similar_recall": recall(published, asking, answers),
    }


def searching(
    published: NDArray[np.float32],
) -> Callable[[Household], NDArray[np.int64]]:
    """Give what a server calls for a TV that is behind."""
    masses = np.ones(len(published), dtype=np.float32)

    def search(tv: Household) -> NDArray[np.int64]:
        return nearest_cells(tv.own, tv.weights, published, masses=masses, k=WANTED)

    return search


def timed(
    search: Callable[[Household], object],
    asking: Sequence[Household],
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Ask for one TV after the other; the seconds of each."""
    for each in asking[:WARM_UP]:
        search(each)
    seconds = []
    for each in asking:
        started = clock()
        search(each)
        seconds.append(clock() - started)
    return seconds


def p99_ms(seconds: NDArray[np.float64]) -> float:
    """Take the 99th percentile of each row, and the median of those."""
    return float(np.median(np.quantile(seconds, 0.99, axis=1))) * 1000


def recall(
    published: NDArray[np.float32],
    asking: Sequence[Household],
    answers: Sequence[NDArray[np.int64]],
) -> float:
    """Share of what a naive search finds that was answered; 0 to 1."""
    found = [
        len(set(naive(published, tv)) & set(answer.tolist())) / WANTED
        for tv, answer in zip(asking, answers, strict=True)
    ]
    return float(np.mean(found))


def naive(published: NDArray[np.float32], tv: Household) -> list[int]:
    """Order all cells for each taste, and serve the tastes like queues."""
    shares = tv.weights.astype(np.float64) / tv.weights.astype(np.float64).sum()
    asked = []
    for pattern, share in zip(tv.own, shares.tolist(), strict=True):
        scores = (published * pattern).sum(axis=1, dtype=np.float64)
        ordered = np.argsort(-scores, kind="stable")[:WANTED].tolist()
        asked += [((place + 1) / share, cell) for place, cell in enumerate(ordered)]
    return list(dict.fromkeys(cell for _, cell in sorted(asked)))[:WANTED]


def _rounded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(vectors * STEPS).astype(np.float32) / np.float32(STEPS)

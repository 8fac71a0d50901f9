"""The assignment of vectors to cells beside numpy's own sgemm of the same shape."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from federation.kernels.arrays import Float32Array
from federation.kernels.quantise import CodedCentroids

DIMENSIONS = 384
N_CELLS = 4_096

#: Rows of one product of sgemm; it is quicker than with all of them at once.
_ROWS = 1_024


def measure(*, n_vectors: int, repeats: int, seed: int = 0) -> dict[str, Any]:
    """Both by turns, on as many threads as the BLAS takes; medians."""
    rng = np.random.default_rng(seed)
    vectors, centroids = _unit(rng, n_vectors), _unit(rng, N_CELLS)
    coded = CodedCentroids(centroids)
    products = np.empty((_ROWS, N_CELLS), dtype=np.float32)

    def sgemm() -> None:
        for start in range(0, n_vectors, _ROWS):
            np.matmul(vectors[start : start + _ROWS], centroids.T, out=products)

    seconds: dict[str, list[float]] = {"assign": [], "sgemm": []}
    for _ in range(repeats + 1):
        seconds["sgemm"].append(_seconds(sgemm))
        seconds["assign"].append(_seconds(lambda: coded.assign(vectors)))
    # The first finds cold caches.
    assign, sgemm_alone = (
        statistics.median(seconds[name][1:]) for name in ("assign", "sgemm")
    )
    return {
        "assign_vs_sgemm": sgemm_alone / assign,
        "assign_rows_per_second": n_vectors / assign,
        "sgemm_gflops": 2 * n_vectors * N_CELLS * DIMENSIONS / sgemm_alone / 1e9,
    }


def _unit(rng: np.random.Generator, count: int) -> Float32Array:
    vectors = rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started

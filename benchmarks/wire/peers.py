"""The peer: optimised product quantisation by faiss, at the same bytes.

It is trained on what the product's own codebook is trained on: the published cells, and
patterns made up about them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numpy as np

from benchmarks.installation import SETTINGS
from federation.kernels.arrays import Float32Array
from federation.kernels.cells import Cells, nearest_cell_rows
from federation.kernels.codebook_training import (
    MADE_UP_PER_CELL,
    make_up_patterns,
    spread_of,
)

DIMENSIONS = 384
TRAINING_ROWS = 1 << 12

#: Steps in which the rotation is found, those of k-means before the first, in each, and
#: after the last; more gain less than 0.002.
ROTATION_STEPS, FIRST_STEPS, STEPS_BETWEEN, LAST_STEPS = 10, 6, 1, 8


class Opq:
    """One size of code, trained."""

    def __init__(self, rows: Float32Array, n_bytes: int) -> None:
        # The rotation leaves as many dimensions as can be parted evenly.
        turned = DIMENSIONS // n_bytes * n_bytes
        self._quantiser = faiss.ProductQuantizer(turned, n_bytes, 8)
        self._quantiser.cp.min_points_per_centroid = 1
        self._rotation = faiss.OPQMatrix(DIMENSIONS, n_bytes, turned)
        self._rotation.niter = ROTATION_STEPS
        self._rotation.niter_pq_0 = FIRST_STEPS
        self._rotation.niter_pq = STEPS_BETWEEN
        self._rotation.pq = self._quantiser
        with _one_thread():
            self._rotation.train(rows)
            self._quantiser.cp.niter = LAST_STEPS
            self._quantiser.train(self._rotation.apply(rows))

    def read_back(self, vectors: Float32Array) -> Float32Array:
        """What becomes of vectors, of length one. shape: (n, 384)"""
        codes = self._quantiser.compute_codes(self._rotation.apply(vectors))
        # faiss describes the C++ method, which has another argument.
        turned = self._quantiser.decode(codes)  # type: ignore[call-arg, func-returns-value]
        rows = self._rotation.reverse_transform(turned)
        unit: Float32Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


def training_rows(
    cells: Float32Array, masses: Float32Array, patterns: Float32Array
) -> Float32Array:
    """Cells and made-up patterns in the proportion that a round has them.

    ``patterns`` tell how patterns lie about their cells. shape: (n, 384)
    """
    identity = Cells(np.arange(len(cells)), cells, len(cells))
    spread = spread_of(
        patterns,
        cells,
        nearest_cell_rows(patterns, identity),
        np.arange(len(patterns)),
        min_devices=int(SETTINGS["MIN_DEVICES_PER_PATTERN"]),
    )
    count = min(max(1 << 10, MADE_UP_PER_CELL * len(cells)), TRAINING_ROWS)
    made_up = make_up_patterns(cells, masses, spread, count, seed=0)
    times = max(1, count // 4 // len(cells))
    return np.ascontiguousarray(np.concatenate([made_up, np.tile(cells, (times, 1))]))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let nobody wait for another: its pieces are small."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

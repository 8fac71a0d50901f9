"""Spherical k-means, exact: the same cells whatever the threads and the order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, Float32Array, Int8Array, Int16Array, Int64Array
from .cells import Cells
from .quantise import CodedCentroids, code_norms, quantise, sums_by_group, unit_rows
from .sampling import PatternSample


def step_cells(sample: PatternSample, cells: Cells, *, iterations: int) -> Cells:
    """Plain spherical k-means: no cell is opened, dissolved or joined.

    Parameters
    ----------
    sample : PatternSample
        Merged over all shards.
    cells : Cells
        Where to start.
    iterations : int
        At most this many steps; fewer if nothing moves any more.

    Returns
    -------
    Cells
        The same cells at their means, without those that ended up empty.
    """
    return iterate(Points.of(sample), cells, iterations)


@dataclass(frozen=True)
class Points:
    """Sampled patterns with weight, ready for k-means."""

    vectors: Int16Array
    codes: Int8Array
    code_norms: Float32Array
    weights: Int64Array
    devices: Int64Array
    batches: Int64Array

    @classmethod
    def of(cls, sample: PatternSample) -> Points:
        rows = np.flatnonzero(sample.weights > 0)
        vectors = sample.vectors[rows]
        codes = np.empty(vectors.shape, dtype=np.int8)
        for start in range(0, len(rows), 1 << 14):  # 24 MiB of float32 at a time
            part = slice(start, start + (1 << 14))
            codes[part] = quantise(vectors[part].astype(np.float32))
        return cls(
            vectors=vectors,
            codes=codes,
            code_norms=code_norms(codes),
            weights=sample.weights[rows],
            devices=sample.device_numbers()[rows],
            batches=sample.batches[rows],
        )

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, is_kept: BoolArray) -> Points:
        """The points that a mask keeps."""
        return Points(
            vectors=self.vectors[is_kept],
            codes=self.codes[is_kept],
            code_norms=self.code_norms[is_kept],
            weights=self.weights[is_kept],
            devices=self.devices[is_kept],
            batches=self.batches[is_kept],
        )

    def nearest(self, cells: Cells) -> tuple[Int64Array, Float32Array]:
        """The nearest cell of every pattern, and the cosine with it."""
        rows, scores = CodedCentroids(cells.centroids).nearest(self.codes)
        return rows, scores / self.code_norms

    def sums(self, rows: Int64Array, n_cells: int) -> Int64Array:
        return sums_by_group(self.vectors, self.weights, rows, n_cells)

    def device_counts(self, rows: Int64Array, n_cells: int) -> Int64Array:
        pairs = np.unique(self.devices * n_cells + rows)
        return np.bincount(pairs % n_cells, minlength=n_cells).astype(np.int64)


def iterate(points: Points, cells: Cells, iterations: int) -> Cells:
    """Steps of k-means; cells that end up empty end."""
    last = np.zeros(0, dtype=np.int64)
    for _ in range(iterations):
        rows, _ = points.nearest(cells)
        if np.array_equal(rows, last):
            break
        last = rows
        sums = points.sums(rows, len(cells))
        is_alive = np.any(sums != 0, axis=1)
        if not is_alive.all():
            last = np.zeros(0, dtype=np.int64)  # rows no longer number these cells
        cells = Cells(cells.ids, unit_rows(sums), cells.next_id).take(is_alive)
    return cells

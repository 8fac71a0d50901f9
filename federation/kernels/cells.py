"""The cells: a spherical k-means whose cells keep their identity from round to round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, Float32Array, Float64Array, Int64Array, group_starts
from .blocks import EMBEDDING_DIMENSIONS
from .errors import KernelInputError
from .quantise import (
    CodedCentroids,
    code_norms,
    quantise,
    sums_by_group,
    unit_rows,
)
from .sampling import PatternSample

#: Patterns that the cells are fitted to: 64 for each of 4,096 cells.
SAMPLE_CAPACITY = 1 << 18


@dataclass(frozen=True)
class Cells:
    """Cells with a number each that is never given to another."""

    #: Ascending. (n,)
    ids: Int64Array
    #: Unit vectors. (n, 384)
    centroids: Float32Array
    #: The number the next new cell gets; above every number ever given.
    next_id: int

    def __len__(self) -> int:
        return len(self.ids)


def no_cells() -> Cells:
    """What the first round starts from.

    Returns
    -------
    Cells
        None; the first new one will be number 1.
    """
    return Cells(
        ids=np.zeros(0, dtype=np.int64),
        centroids=np.zeros((0, EMBEDDING_DIMENSIONS), dtype=np.float32),
        next_id=1,
    )


def fit_cells(
    sample: PatternSample,
    *,
    previous: Cells,
    max_cells: int,
    min_devices: int,
    iterations: int = 12,
) -> Cells:
    """Fit cells."""
    return _Fit(sample, max_cells, min_devices, iterations).run(previous)


class _Fit:
    def __init__(self, sample, max_cells, min_devices, iterations, log=None):
        rows = np.flatnonzero(sample.weights > 0)
        self.vectors = sample.vectors[rows]
        self.weights = sample.weights[rows]
        self.devices = sample.device_numbers()[rows]
        self.codes = quantise(self.vectors.astype(np.float32))
        self.norms = code_norms(self.codes)
        self.max_cells = max_cells
        self.required = (
            min_devices
            if sample.fraction == 1
            else max(1, int(np.ceil(min_devices * sample.fraction)))
        )
        self.iterations = iterations
        self.log = log or (lambda *a: None)

    def assign(self, centroids):
        cells, scores = CodedCentroids(centroids).nearest(self.codes)
        return cells, scores / self.norms

    def device_counts(self, cells, n):
        pairs = np.unique(self.devices * n + cells)
        return np.bincount(pairs % n, minlength=n)

    def lloyd(self, ids, centroids, iterations):
        cells = None
        for it in range(iterations):
            new, cos = self.assign(centroids)
            if cells is not None and np.array_equal(new, cells):
                break
            cells = new
            sums = sums_by_group(self.vectors, self.weights, cells, len(ids))
            alive = np.any(sums != 0, axis=1)
            if not alive.all():
                ids, sums = ids[alive], sums[alive]
                cells = None
            centroids = unit_rows(sums)
        return ids, centroids

    def dissolve(self, ids, centroids):
        while True:
            cells, cos = self.assign(centroids)
            counts = self.device_counts(cells, len(ids))
            weak = np.flatnonzero(counts < self.required)
            if len(weak) == 0 or len(ids) == 1:
                return ids, centroids
            order = weak[np.lexsort((-ids[weak], counts[weak]))]
            gone = order[: (len(order) + 1) // 2]
            keep = np.ones(len(ids), bool)
            keep[gone] = False
            ids, centroids = ids[keep], centroids[keep]
            ids, centroids = self.lloyd(ids, centroids, 2)

    def leaders(self, centroids, threshold, budget):
        """Open cells"""
        opened = []
        existing = centroids
        step = 1024
        near = np.full(len(self.codes), False)
        for start in range(0, len(self.codes), step):
            codes = self.codes[start : start + step]
            norms = self.norms[start : start + step]
            allc = (
                np.concatenate([existing, self.codes[opened].astype(np.float32)])
                if opened
                else existing
            )
            _, score = (
                CodedCentroids(allc).nearest(codes)
                if len(allc)
                else (None, np.full(len(codes), -1e9, np.float32))
            )
            far = np.flatnonzero(score / norms < threshold)
            while len(far) and len(opened) < budget:
                first = far[0]
                opened.append(start + first)
                c = CodedCentroids(codes[first : first + 1].astype(np.float32))
                cos = c.scores(codes[far])[:, 0] / norms[far]
                far = far[cos < threshold]
                far = far[far != first]
            if len(opened) >= budget:
                break
        return np.array(opened, dtype=np.int64)

    def run(self, previous):
        if len(self.codes) == 0:
            return previous
        budget = min(self.max_cells, max(1, len(self.codes) // (2 * self.required)))
        ids, centroids = previous.ids, previous.centroids
        room = budget - len(ids)
        next_id = previous.next_id
        if room > 0:
            lo, hi = 0.0, 1.0
            for _ in range(8):
                mid = (lo + hi) / 2
                n = len(self.leaders(centroids, mid, room + 1))
                if n > room:
                    hi = mid
                else:
                    lo = mid
            seeds = self.leaders(centroids, lo, room)
            self.log("threshold", lo, "seeds", len(seeds), "budget", budget)
            ids = np.concatenate([ids, next_id + np.arange(len(seeds))])
            next_id += len(seeds)
            centroids = np.concatenate(
                [centroids, unit_rows(self.vectors[seeds].astype(np.int64))]
            )
        ids, centroids = self.lloyd(ids, centroids, self.iterations)
        self.log("lloyd", len(ids))
        ids, centroids = self.dissolve(ids, centroids)
        self.log("dissolved", len(ids))
        return Cells(ids, centroids, int(next_id))

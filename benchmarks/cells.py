"""The exact k-means of the cells beside faiss, and beside the matrix product alone.

Both start from the same centroids and do the same number of steps on the same vectors.
The limit is numpy's own sgemm: an assignment cannot be faster than its products.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

import faiss
import numpy as np

from federation.kernels import Cells, PatternSample, nearest_cells, step_cells
from federation.kernels.arrays import Float32Array
from federation.kernels.quantise import WEIGHT_ONE, to_fixed_point

Result = TypeVar("Result")

DIMENSIONS = 384

#: TVs have up to this many patterns when they ask for the cells near them.
OWN_PATTERNS = 8


@dataclass(frozen=True)
class Report:
    """Seconds are medians over the repeats."""

    n_vectors: int
    n_cells: int
    iterations: int
    repeats: int
    kernel_seconds: float
    faiss_seconds: float
    #: The products of the assignments alone, at numpy's rate.
    sgemm_seconds: float
    sgemm_gflops: float
    #: Above 1: the kernel is faster than faiss.
    speed_ratio: float
    #: How much of the kernel's time is matrix product.
    sgemm_fraction: float
    #: Mean cosine of a vector with its centroid.
    kernel_cosine: float
    faiss_cosine: float
    cosine_ratio: float
    #: Finding the 100 cells for a TV with eight patterns.
    answer_milliseconds: float


def main() -> None:
    options = _options()
    report = measure(
        n_vectors=options.vectors,
        n_cells=options.cells,
        iterations=options.iterations,
        repeats=options.repeats,
        seed=options.seed,
    )
    if options.json:
        print(json.dumps(asdict(report)))
        return
    for name, value in asdict(report).items():
        print(
            f"{name:>20}  {value:.4g}"
            if isinstance(value, float)
            else f"{name:>20}  {value:,}"
        )


def measure(
    *, n_vectors: int, n_cells: int, iterations: int, repeats: int, seed: int
) -> Report:
    """Run both, alternating, so that a busy machine disturbs both alike."""
    rng = np.random.default_rng(seed)
    vectors = _vectors(rng, n_vectors)
    start = vectors[rng.choice(n_vectors, n_cells, replace=False)]
    runs: dict[str, list[float]] = {"kernel": [], "faiss": [], "sgemm": []}
    for repeat in range(repeats):
        _progress(f"repeat {repeat + 1} of {repeats}")
        seconds, cells = _timed(lambda: _kernel(vectors, start, iterations))
        runs["kernel"].append(seconds)
        seconds, other = _timed(lambda: _faiss(vectors, start, iterations))
        runs["faiss"].append(seconds)
        seconds, _ = _timed(lambda: _sgemm(vectors, start))
        runs["sgemm"].append(seconds * iterations)
    medians = {name: statistics.median(times) for name, times in runs.items()}
    kernel_cosine = _mean_cosine(vectors, cells)
    faiss_cosine = _mean_cosine(vectors, other)
    flops = 2 * n_vectors * n_cells * DIMENSIONS * iterations
    return Report(
        n_vectors=n_vectors,
        n_cells=n_cells,
        iterations=iterations,
        repeats=repeats,
        kernel_seconds=medians["kernel"],
        faiss_seconds=medians["faiss"],
        sgemm_seconds=medians["sgemm"],
        sgemm_gflops=flops / medians["sgemm"] / 1e9,
        speed_ratio=medians["faiss"] / medians["kernel"],
        sgemm_fraction=medians["sgemm"] / medians["kernel"],
        kernel_cosine=kernel_cosine,
        faiss_cosine=faiss_cosine,
        cosine_ratio=kernel_cosine / faiss_cosine,
        answer_milliseconds=1000 * _answer_seconds(rng, start),
    )


def _vectors(rng: np.random.Generator, count: int) -> Float32Array:
    """Unit vectors whose directions fade out, as those of sentence models do."""
    scale = (0.97 ** np.arange(DIMENSIONS)).astype(np.float32)
    vectors = rng.standard_normal((count, DIMENSIONS), dtype=np.float32) * scale
    vectors[:, 0] += 4
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _kernel(
    vectors: Float32Array, start: Float32Array, iterations: int
) -> Float32Array:
    count = len(vectors)
    keys = np.zeros((count, 4), dtype=np.uint64)
    keys[:, 1] = np.arange(count)
    sample = PatternSample(
        capacity=count,
        n_patterns=count,
        n_devices=count,
        hashes=np.arange(count, dtype=np.uint64),
        keys=keys,
        vectors=to_fixed_point(vectors),
        weights=np.full(count, WEIGHT_ONE),
        batches=np.ones(count, dtype=np.int64),
    )
    ids = np.arange(len(start), dtype=np.int64)
    cells = Cells(ids, start, len(start))
    return step_cells(sample, cells, iterations=iterations).centroids


def _faiss(vectors: Float32Array, start: Float32Array, iterations: int) -> Float32Array:
    kmeans = faiss.Kmeans(
        DIMENSIONS,
        len(start),
        niter=iterations,
        spherical=True,
        max_points_per_centroid=len(vectors),
        min_points_per_centroid=1,
    )
    kmeans.train(vectors, init_centroids=start)
    return np.asarray(kmeans.centroids, dtype=np.float32)


def _sgemm(vectors: Float32Array, start: Float32Array) -> None:
    step = max(1, (1 << 22) // len(start))
    for row in range(0, len(vectors), step):
        vectors[row : row + step] @ start.T


def _mean_cosine(vectors: Float32Array, centroids: Float32Array) -> float:
    best = [
        (part @ centroids.T).max(axis=1)
        for part in np.array_split(vectors, max(1, len(vectors) // 2048))
    ]
    return float(np.concatenate(best).mean(dtype=np.float64))


def _answer_seconds(rng: np.random.Generator, centroids: Float32Array) -> float:
    own = _vectors(rng, OWN_PATTERNS)
    weights = np.ones(OWN_PATTERNS, dtype=np.float32)
    masses = np.ones(len(centroids), dtype=np.float32)
    times = [
        _timed(lambda: nearest_cells(own, weights, centroids, masses=masses))[0]
        for _ in range(200)
    ]
    return statistics.median(times)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--cells", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    return parser.parse_args()


if __name__ == "__main__":
    main()

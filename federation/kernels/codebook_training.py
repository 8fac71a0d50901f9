"""Trains a codebook from what may be published, and from nothing else.

Replies carry cells, deltas carry patterns, which lie about the cells; a codebook has to
describe both. Patterns themselves are no training data: a centroid could be a piece of
one household's. So patterns are made up: cells, with noise of the covariance that all
sampled patterns together have about their cells, no direction of it being one TV's.

The quantiser is a residual one (Barnes, Rizvi and Nasrabadi 1996) within groups of
dimensions, as product quantisation has them (Jégou, Douze and Schmid 2011,
https://doi.org/10.1109/TPAMI.2010.57), after a rotation that gives each group its share
of the variance (Ge et al. 2013, https://arxiv.org/abs/1311.4055, the parametric case).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np

from .arrays import Float32Array, Float64Array, Int8Array, Int64Array
from .blocks import EMBEDDING_DIMENSIONS
from .codebook import (
    CENTROIDS,
    GROUP_DIMENSIONS,
    GROUPS,
    INT8_MAX,
    STAGES,
    TURNED_DIMENSIONS,
    Codebook,
    nearest_centroids,
)
from .dominance import shared_covariance
from .errors import KernelInputError

#: Patterns that are made up for each cell, and least and most in all: more gain nothing
#: that can be measured.
MADE_UP_PER_CELL = 128
MADE_UP_LEAST, MADE_UP_MOST = 1 << 10, 1 << 15

#: Rows of made-up patterns for each row of a cell; few cells are repeated.
MADE_UP_PER_CELL_ROW = 16

#: Of each k-means; more gain nothing that can be measured.
ITERATIONS = 4

#: Steps in which it is told how far patterns lie from their cells.
_ENERGY_STEPS = 64

_SEED = 20_240_229

#: Instead of zero where something is divided by.
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Spread:
    """How patterns lie about their cells, all cells together."""

    #: About the mean of ``r rᵀ`` over the differences r of pattern and cell; see
    #: ``shared_covariance``. (384, 384)
    covariance: Float64Array
    #: Quantiles of ``|r|²`` as multiples of its mean, from the least to the most. (65,)
    energies: Float64Array


def spread_of(
    patterns: Float32Array,
    cells: Float32Array,
    nearest: Int64Array,
    tvs: Int64Array,
    *,
    min_devices: int,
) -> Spread:
    """Measure how patterns lie about their cells.

    Parameters
    ----------
    patterns : ndarray of shape (n, 384), float32
        Unit vectors, at least one.
    cells : ndarray of shape (k, 384), float32
        Unit vectors.
    nearest : ndarray of shape (n,), int64
        The row of each pattern's cell.
    tvs : ndarray of shape (n,), int64
        Which TV each pattern is from, by any numbers.
    min_devices : int
        As many TVs are behind the covariance along any direction, each with an equal
        share at most; at least 2.

    Returns
    -------
    Spread
    """
    if len(patterns) == 0:
        raise KernelInputError("No pattern tells how patterns lie about their cells.")
    apart = (patterns - cells[nearest]).astype(np.float64)
    energies = np.einsum("ij,ij->i", apart, apart)
    mean = max(float(energies.mean()), _TINY)
    steps = np.linspace(0, 1, _ENERGY_STEPS + 1)
    return Spread(
        covariance=shared_covariance(apart, tvs, largest_share=1 / max(2, min_devices)),
        energies=np.quantile(energies, steps) / mean,
    )


def make_up_patterns(
    cells: Float32Array, masses: Float32Array, spread: Spread, n: int, *, seed: int
) -> Float32Array:
    """Patterns as TVs might have them, none of which any TV has.

    Parameters
    ----------
    cells : ndarray of shape (k, 384), float32
        Unit vectors, at least one.
    masses : ndarray of shape (k,), float32
        How often each is chosen, not all zero.
    spread : Spread
    n : int
        How many.
    seed : int

    Returns
    -------
    ndarray of shape (n, 384), float32
        Unit vectors.
    """
    rng = np.random.default_rng(seed)
    chances = masses.astype(np.float64) / masses.sum(dtype=np.float64)
    chosen = rng.choice(len(cells), size=n, p=chances)
    variances, directions = np.linalg.eigh(spread.covariance)
    deviations = np.sqrt(np.maximum(variances, 0))
    noise = (rng.standard_normal((n, EMBEDDING_DIMENSIONS)) * deviations) @ directions.T
    # Some patterns are far from their cells, more of them than a Gaussian has.
    steps = np.linspace(0, 1, len(spread.energies))
    noise *= np.sqrt(np.interp(rng.random(n), steps, spread.energies))[:, None]
    return _unit((cells[chosen] + noise).astype(np.float32))


def train_codebook(
    cells: Float32Array, masses: Float32Array, spread: Spread
) -> Codebook:
    """Train a codebook for cells and for patterns about them.

    The same input gives the same codebook on the same machine; another machine may
    round otherwise. One thread, at most a few seconds whatever the number of cells.

    Parameters
    ----------
    cells : ndarray of shape (k, 384), float32
        Unit vectors, at least one.
    masses : ndarray of shape (k,), float32
        How many TVs stand behind each, not all zero.
    spread : Spread

    Returns
    -------
    Codebook
    """
    n = min(max(MADE_UP_LEAST, MADE_UP_PER_CELL * len(cells)), MADE_UP_MOST)
    made_up = make_up_patterns(cells, masses, spread, n, seed=_SEED)
    times = max(1, n // MADE_UP_PER_CELL_ROW // len(cells))
    repeated = np.tile(cells, (times, 1))
    rows = np.concatenate([made_up, repeated])
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    basis, basis_scales = _rounded_rows(_basis(rows - mean))
    turned = (rows - mean) @ (basis * basis_scales[:, None]).T
    centroids = np.empty((STAGES, GROUPS, CENTROIDS, GROUP_DIMENSIONS), dtype=np.int8)
    scales = np.empty((STAGES, GROUPS), dtype=np.float32)
    with _one_thread():
        for group in range(GROUPS):
            columns = slice(group * GROUP_DIMENSIONS, (group + 1) * GROUP_DIMENSIONS)
            left = np.ascontiguousarray(turned[:, columns])
            for stage in range(STAGES):
                found = _k_means(left)
                scale = _scale(float(np.abs(found).max()))
                centroids[stage, group] = np.rint(found / scale)
                scales[stage, group] = scale
                # By the rounded ones: the next stage mends what rounding did.
                rounded = centroids[stage, group] * scale
                left = left - rounded[nearest_centroids(left, rounded)]
    return Codebook(
        mean=mean,
        basis=basis,
        basis_scales=basis_scales,
        centroids=centroids,
        centroid_scales=scales,
    )


def _basis(rows: Float32Array) -> Float32Array:
    """Principal directions, shared out so that all groups are equally hard.

    Returns
    -------
    ndarray of shape (256, 384), float32
    """
    variances, directions = np.linalg.eigh(np.cov(rows, rowvar=False))
    order = np.argsort(-variances)[:TURNED_DIMENSIONS]
    bits = np.log2(np.maximum(variances[order], _TINY))
    # What a group needs is the sum of its logarithms (Ge et al., section 4.2); the
    # next direction goes to the group that needs least and has room.
    needs = np.zeros(GROUPS)
    groups: list[list[int]] = [[] for _ in range(GROUPS)]
    for direction, need in zip(order.tolist(), bits - bits.min(), strict=True):
        open_groups = [g for g in range(GROUPS) if len(groups[g]) < GROUP_DIMENSIONS]
        poorest = min(open_groups, key=lambda g: needs[g])
        groups[poorest].append(direction)
        needs[poorest] += need
    chosen = [direction for group in groups for direction in group]
    return np.ascontiguousarray(directions[:, chosen].T, dtype=np.float32)


def _rounded_rows(rows: Float32Array) -> tuple[Int8Array, Float32Array]:
    scales = np.maximum(np.abs(rows).max(axis=1) / INT8_MAX, _TINY).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales


def _scale(largest: float) -> np.float32:
    return np.float32(max(largest / INT8_MAX, _TINY))


def _k_means(rows: Float32Array) -> Float32Array:
    trainer = faiss.Kmeans(
        rows.shape[1],
        CENTROIDS,
        niter=ITERATIONS,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows),
    )
    trainer.train(rows)
    assert trainer.centroids is not None
    centroids: Float32Array = trainer.centroids
    return centroids


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep faiss from adding up in an order that depends on its threads."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _unit(rows: Float32Array) -> Float32Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32Array = rows / np.maximum(lengths, _TINY)
    return unit

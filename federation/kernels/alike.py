"""Cells of TVs that say the same: copies of few vectors, and hardly anything else."""

from __future__ import annotations

import numpy as np

from .arrays import BoolArray, Float64Array, Int64Array, float_sums, group_starts
from .batches import weighted_medians
from .kmeans import Points

# So many patterns of a cell are compared with one another.
_COMPARED = 32

# A cell is of copies if the nearest quarter of its pairs is this many times nearer than
# in other cells (a third of the angle). Of three vectors' copies a third of the pairs
# are copies.
_NEARER = 9.0
_QUARTER = 4

# Copies differ by this in the last bits.
_ROUNDING = 1e-6

# TVs have more than this share of their other patterns elsewhere, unless they collude.
_ELSEWHERE = 0.75

# With fewer cells nothing is usual.
_LEAST_CELLS = 5


def alike_cells(points: Points, rows: Int64Array, n_cells: int) -> BoolArray:
    """Cells of TVs that hold hardly more than copies.

    Parameters
    ----------
    points : Points
        Sampled patterns, in the order of their hashes.
    rows : ndarray of shape (n,), int64
        The cell of each.
    n_cells : int
        How many cells there are.

    Returns
    -------
    ndarray of shape (n_cells,), bool
        None if there are fewer than five, or if most of the weight lies in copies.

    Notes
    -----
    Pairs are those of the first 32 patterns of a cell, and near by ``1 - cosine``.
    What is usual is the median of the cells by weight.

    TVs that liked the same film, and no other of its kind, have copies as well, and
    other patterns besides, which differ. So a cell of copies is passed if the other
    sampled patterns of its TVs lie elsewhere: three quarters of them, in other cells
    than these. On MovieLens 94 to 100 % do, of TVs that collude 0 to 25 %.
    """
    is_alike = _cells_of_copies(points, rows, n_cells)
    _, tvs = np.unique(points.devices, return_inverse=True)
    tvs = tvs.reshape(-1)
    is_copy = is_alike[rows].astype(np.int64)
    others = np.bincount(tvs)[tvs] - 1
    other_copies = np.bincount(tvs, is_copy)[tvs] - is_copy
    are_elsewhere = np.bincount(rows, others - other_copies, n_cells)
    is_alike &= are_elsewhere <= _ELSEWHERE * np.bincount(rows, others, n_cells)
    return is_alike


def _cells_of_copies(points: Points, rows: Int64Array, n_cells: int) -> BoolArray:
    is_alike = np.zeros(n_cells, dtype=np.bool_)
    order = np.argsort(rows, kind="stable")
    starts = group_starts(rows[order])
    if len(starts) < _LEAST_CELLS:
        return is_alike
    ends = np.r_[starts[1:], len(order)]
    apart = np.array(
        [
            _nearest_quarter(points, order[start:end][:_COMPARED])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
    )
    present = rows[order[starts]]
    weights = float_sums(rows, points.weights.astype(np.float64), n_cells)[present]
    usual = weighted_medians(apart[:, np.newaxis], weights)[0]
    is_alike[present] = _NEARER * apart < usual
    return is_alike


def _nearest_quarter(points: Points, members: Int64Array) -> float:
    """How far apart the patterns of a cell are in the nearest quarter of its pairs."""
    if len(members) < 2:
        return np.inf
    vectors = points.vectors[members].astype(np.float64)
    cosines = _cosines(vectors)[np.triu_indices(len(members), k=1)]
    place = (len(cosines) - 1) // _QUARTER
    return max(1.0 - float(np.sort(cosines)[::-1][place]), _ROUNDING)


def _cosines(vectors: Float64Array) -> Float64Array:
    """Of each with each; products of whole numbers, which are exact in any order."""
    products = vectors @ vectors.T
    lengths = np.sqrt(np.diagonal(products))
    cosines: Float64Array = products / (lengths[:, np.newaxis] * lengths)
    return cosines

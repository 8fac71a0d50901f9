"""Patterns that lie near no others, set aside while cells are looked for.

Vectors at random open cells of their own and blur the gaps between the others: a tenth
of them hides planted clusters altogether. A cell of such patterns has no middle.
"""

from __future__ import annotations

import numpy as np

from .arrays import BoolArray, Float32Array, Float64Array, Int64Array
from .cells import Cells
from .kmeans import Points
from .quantise import COMPONENT_ONE, CodedCentroids

# A cell is loose if two of its patterns have this share of the cosine, on average,
# that two patterns of a cell usually have...
_LOOSE_SHARE = 0.4
# ...or if it has one pattern, whose cosine with the nearest other cell is below this
# share of it...
_LOOSE_ALONE = 0.6
# ...and it matters from this share of all patterns.
_LEAST_SHARE = 1 / 64

_STEP = 1 << 14
_SCORES = 1 << 22


def loose_points(points: Points, cells: Cells) -> BoolArray:
    """Which points lie in cells that have no middle.

    Parameters
    ----------
    points : Points
        Sampled patterns.
    cells : Cells
        Fitted to them, at least one.

    Returns
    -------
    ndarray of shape (n,), bool
        All False unless they are a 64th of the points.
    """
    rows, _ = points.nearest(cells)
    cosines = mutual_cosines(points, rows, len(cells))[rows]
    is_single = np.bincount(rows)[rows] == 1
    cosines[is_single] = _with_others(points.take(is_single), cells, rows[is_single])
    share = np.where(is_single, _LOOSE_ALONE, _LOOSE_SHARE)
    is_loose: BoolArray = cosines < share * np.median(cosines)
    if is_loose.sum() < _LEAST_SHARE * len(points):
        return np.zeros(len(points), dtype=np.bool_)
    return is_loose


def mutual_cosines(points: Points, rows: Int64Array, n_cells: int) -> Float64Array:
    """How alike two patterns of a cell are, on average.

    Parameters
    ----------
    points : Points
        Sampled patterns.
    rows : ndarray of shape (n,), int64
        The cell of each.
    n_cells : int
        How many cells there are.

    Returns
    -------
    ndarray of shape (n_cells,), float64
        The weighted mean cosine of two different patterns; 0 where there are no two.

    Notes
    -----
    ``sum_{i != j} w_i w_j x_i.x_j / sum_{i != j} w_i w_j``, by the square of the sum
    less the squares: unbiased, so that a few vectors at random come out near 0, though
    their mean is long.
    """
    sums = points.sums(rows, n_cells) / COMPONENT_ONE
    exact = points.weights.astype(np.float64)
    weights = np.bincount(rows, exact, n_cells)
    own = np.bincount(rows, np.square(exact), n_cells)
    of_same = np.bincount(rows, np.square(exact) * _squared_lengths(points), n_cells)
    pairs = np.square(weights) - own
    products = np.square(sums).sum(axis=1) - of_same
    cosines: Float64Array = np.where(pairs > 0, products, 0) / np.maximum(pairs, 1)
    return cosines


def _with_others(points: Points, cells: Cells, rows: Int64Array) -> Float32Array:
    """The cosine of each point with the nearest cell but its own."""
    centroids = CodedCentroids(cells.centroids)
    nearest = np.zeros(len(points), dtype=np.float32)
    step = max(1, _SCORES // len(cells))
    for start in range(0, len(points), step):
        here = slice(start, start + step)
        scores = centroids.scores(points.codes[here])
        scores[np.arange(len(scores)), rows[here]] = -np.inf
        nearest[here] = scores.max(axis=1) / points.code_norms[here]
    return nearest


def _squared_lengths(points: Points) -> Float64Array:
    squares = np.empty(len(points), dtype=np.float64)
    for start in range(0, len(points), _STEP):
        wide = points.vectors[start : start + _STEP].astype(np.int64)
        squares[start : start + _STEP] = np.einsum("ij,ij->i", wide, wide)
    return squares / COMPONENT_ONE**2

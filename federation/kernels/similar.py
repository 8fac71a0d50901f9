"""The cells a TV is answered with: exact, in process, below a millisecond.

A TV has several tastes, and their average is nobody's taste: neighbours are found for
each of its patterns and merged, so that every taste gets places by its weight.
"""

from __future__ import annotations

import numpy as np

from .arrays import Float32Array, Float64Array, Int64Array
from .errors import KernelInputError

#: How many similar cells a TV gets.
SIMILAR_CELLS = 100

#: Up to so many patterns, a product with each takes less than one with all of them: a
#: matrix product begins by copying the cells into the order it wants.
SINGLE_PRODUCTS = 6

#: Where the k best of a row begin is guessed from one column in so many ...
SAMPLE_STEP = 8

#: ... with room for so many times k.
SAMPLE_ROOM = 2


def nearest_cells(
    own: Float32Array,
    weights: Float32Array,
    centroids: Float32Array,
    *,
    masses: Float32Array,
    k: int = SIMILAR_CELLS,
) -> Int64Array:
    """The cells nearest to a TV's own patterns, shared out by weight.

    Parameters
    ----------
    own : ndarray of shape (p, d), float32
        The TV's patterns (or the centroids of its cells), unit vectors.
    weights : ndarray of shape (p,), float32
        How much each counts. Not negative, not above 1e30; only ratios matter. A
        pattern of weight zero gets no place.
    centroids : ndarray of shape (n, d), float32
        Published cells, unit vectors.
    masses : ndarray of shape (n,), float32
        Mass of each cell: decides for a TV without patterns.
    k : int, default 100
        How many cells to return.

    Returns
    -------
    ndarray of shape (min(k, n),), int64
        Rows of ``centroids``, the best first, none twice.

    Raises
    ------
    KernelInputError
        If shapes disagree or a weight is negative.

    Notes
    -----
    Weighted fair queueing: the j-th nearest cell of pattern p (from 0) is served at
    time ``(j + 1) / share_p``, with ``share_p = w_p / sum(w)``. Cells are returned by
    the earliest time any pattern asks for them; at equal times the lower row first.

    References
    ----------
    Demers, Keshav, Shenker (1989), Analysis and simulation of a fair queueing
    algorithm.
    Pal et al. (2020), PinnerSage. https://arxiv.org/abs/2007.03634
    """
    _check(own, weights, centroids, masses)
    k = min(k, len(centroids))
    has_say = weights > 0
    if k < 1 or not has_say.any():
        return heaviest_cells(masses, k=k)
    own, weights = own[has_say], weights[has_say].astype(np.float64)
    nearest = _nearest_rows(_scores(own, centroids), k)
    return _merge(nearest, weights / weights.sum(), k, n_cells=len(centroids))


def heaviest_cells(masses: Float32Array, *, k: int = SIMILAR_CELLS) -> Int64Array:
    """The cells most TVs are in, for a TV of which nothing is known.

    Parameters
    ----------
    masses : ndarray of shape (n,), float32
        Mass of each cell.
    k : int, default 100
        How many cells to return.

    Returns
    -------
    ndarray of shape (min(k, n),), int64
        Rows by mass, the largest first; of equals the lower row first.
    """
    return np.argsort(-masses, kind="stable")[: max(k, 0)]


def _scores(own: Float32Array, centroids: Float32Array) -> Float32Array:
    """Products of each pattern with all cells. shape: (p, n)"""
    if len(own) <= SINGLE_PRODUCTS:
        return np.stack([centroids @ pattern for pattern in own])
    # With the few patterns on the right the product takes half as long.
    return np.ascontiguousarray((centroids @ own.T).T)


def _nearest_rows(scores: Float32Array, k: int) -> Int64Array:
    """The k best columns of each row, the best first; of equals the lower column."""
    nearest = np.empty((len(scores), k), dtype=np.int64)
    guesses = _guesses(scores, k)
    for row, (line, guess) in enumerate(zip(scores, guesses, strict=True)):
        candidates = np.flatnonzero(line >= guess)
        if len(candidates) < k:
            # Everything above the k-th best is in; what equals it fills up.
            kth = np.partition(line, len(line) - k)[len(line) - k]
            candidates = np.flatnonzero(line >= kth)
        order = np.argsort(-line[candidates], kind="stable")[:k]
        nearest[row] = candidates[order]
    return nearest


def _guesses(scores: Float32Array, k: int) -> Float32Array:
    """Where the k best of each row may begin, rather too low: a quarter of the work."""
    sample = scores[:, ::SAMPLE_STEP]
    place = max(0, sample.shape[1] - SAMPLE_ROOM * -(-k // SAMPLE_STEP))
    guesses: Float32Array = np.partition(sample, place, axis=1)[:, place]
    return guesses


def _merge(
    nearest: Int64Array, shares: Float64Array, k: int, *, n_cells: int
) -> Int64Array:
    times = np.arange(1, nearest.shape[1] + 1) / shares[:, np.newaxis]
    cells = nearest.ravel()
    served = cells[np.lexsort((cells, times.ravel()))]
    places = np.arange(len(served))
    first = np.empty(n_cells, dtype=np.intp)
    # Backwards: what is written last is the first place.
    first[served[::-1]] = places[::-1]
    cells_once: Int64Array = served[first[served] == places]
    return cells_once[:k]


def _check(
    own: Float32Array,
    weights: Float32Array,
    centroids: Float32Array,
    masses: Float32Array,
) -> None:
    if own.ndim != 2 or own.shape[1:] != centroids.shape[1:]:
        raise KernelInputError(
            f"own has shape {own.shape} while centroids has {centroids.shape}."
        )
    if weights.shape != own.shape[:1]:
        raise KernelInputError(
            f"weights has shape {weights.shape} while own has {own.shape[0]} patterns."
        )
    if masses.shape != centroids.shape[:1]:
        raise KernelInputError(
            f"masses has shape {masses.shape} while there are {len(centroids)} cells."
        )
    if np.any(weights < 0):
        raise KernelInputError("A weight is negative.")

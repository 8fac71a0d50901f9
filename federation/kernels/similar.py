"""The cells a TV is answered with: exact, in process, below a millisecond.

A TV has several tastes, and their average is nobody's taste: neighbours are found for
each of its patterns and merged, so that every taste gets places by its weight.

Products with all cells are limited by how fast these come from memory, which takes
hardly longer for the patterns of several TVs than for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arrays import Float32Array, Float64Array, Int64Array
from .errors import KernelInputError

#: How many similar cells a TV gets.
SIMILAR_CELLS = 100

#: Patterns of a product: more take no less each, but 16 KiB of memory.
PRODUCT_PATTERNS = 128

#: How many columns a matrix product of BLAS takes together.
EVEN_COLUMNS = 8

#: With so few columns cells are multiplied in blocks: what BLAS copies of them stays in
#: the cache.
FEW_COLUMNS = 16
BLOCK_CELLS = 64

#: Where the k best of a row begin is guessed from one column in so many ...
SAMPLE_STEP = 8

#: ... with room for so many times k.
SAMPLE_ROOM = 2

# What scores are sorted by has 63 bits: which of 128 rows, the score, which column.
_SCORE_BITS = 32
_COLUMN_BITS = 24


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
    Times are equal if the first digits are, 39 bits of 52 for 4,096 cells.

    References
    ----------
    Demers, Keshav, Shenker (1989), Analysis and simulation of a fair queueing
    algorithm.
    Pal et al. (2020), PinnerSage. https://arxiv.org/abs/2007.03634
    """
    (rows,) = nearest_cells_of_each([own], [weights], centroids, masses=masses, k=k)
    return rows


def nearest_cells_of_each(
    owns: Sequence[Float32Array],
    weights: Sequence[Float32Array],
    centroids: Float32Array,
    *,
    masses: Float32Array,
    k: int = SIMILAR_CELLS,
) -> list[Int64Array]:
    """The cells nearest to the patterns of each of several TVs.

    Parameters
    ----------
    owns : sequence of ndarrays of shape (p, d), float32
        As ``own`` of :func:`nearest_cells`, for each TV.
    weights : sequence of ndarrays of shape (p,), float32
        As there; as many as ``owns``.
    centroids, masses, k
        As there.

    Returns
    -------
    list of ndarrays
        What :func:`nearest_cells` gives, for each TV.

    Raises
    ------
    KernelInputError
        If shapes disagree or a weight is negative.
    """
    for own, weights_of_one in zip(owns, weights, strict=True):
        _check(own, weights_of_one, centroids, masses)
    k = max(0, min(k, len(centroids)))
    says = [each > 0 if k else np.zeros(len(each), np.bool_) for each in weights]
    counts = [int(np.count_nonzero(each)) for each in says]
    if not any(counts):
        return [heaviest_cells(masses, k=k)] * len(owns)
    nearest = _nearest_rows(
        np.concatenate([own[say] for own, say in zip(owns, says, strict=True)]),
        centroids,
        k,
    )
    found, end = [], 0
    for count, say, weights_of_one in zip(counts, says, weights, strict=True):
        if count == 0:
            found.append(heaviest_cells(masses, k=k))
            continue
        start, end = end, end + count
        shares = weights_of_one[say].astype(np.float64)
        shares /= shares.sum()
        found.append(_merge(nearest[start:end], shares, k, n_cells=len(centroids)))
    return found


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


def _nearest_rows(own: Float32Array, centroids: Float32Array, k: int) -> Int64Array:
    """The k cells nearest to each pattern, the best first; of equals the lower row."""
    parts = range(0, len(own), PRODUCT_PATTERNS)
    return np.concatenate(
        [
            _ranked(_scores(own[start : start + PRODUCT_PATTERNS], centroids), k)
            for start in parts
        ]
    )


def _scores(own: Float32Array, centroids: Float32Array) -> Float32Array:
    """Products of each pattern with all cells. shape: (p, n)"""
    # Columns that are left over take a quarter of the product's time.
    few = np.zeros(
        (-(-len(own) // EVEN_COLUMNS) * EVEN_COLUMNS, own.shape[1]), own.dtype
    )
    few[: len(own)] = own
    products = _products(centroids, few.T)
    return np.ascontiguousarray(products.T[: len(own)])


def _products(centroids: Float32Array, few: Float32Array) -> Float32Array:
    """The matrix product; with the few patterns on the right it takes half as long."""
    dimensions, count = few.shape
    if count > FEW_COLUMNS:
        return centroids @ few
    products = np.empty((len(centroids), count), dtype=np.float32)
    n_blocks = len(centroids) // BLOCK_CELLS
    end = n_blocks * BLOCK_CELLS
    np.matmul(
        centroids[:end].reshape(n_blocks, BLOCK_CELLS, dimensions),
        few,
        out=products[:end].reshape(n_blocks, BLOCK_CELLS, count),
    )
    np.matmul(centroids[end:], few, out=products[end:])
    return products


def _ranked(scores: Float32Array, k: int) -> Int64Array:
    """The best k columns of each row, the best first; of equals the lower one."""
    is_candidate = scores >= _guesses(scores, k)[:, np.newaxis]
    counts = np.count_nonzero(is_candidate, axis=1)
    for row in np.flatnonzero(counts < k).tolist():
        # Everything above the k-th best is in; what equals it fills up.
        line = scores[row]
        is_candidate[row] = line >= np.partition(line, len(line) - k)[len(line) - k]
        counts[row] = np.count_nonzero(is_candidate[row])
    places = np.flatnonzero(is_candidate)
    # Sorted as whole numbers, all rows at once: row, then score, then column.
    rows = np.repeat(np.arange(len(scores)), counts)
    columns = places - rows * scores.shape[1]
    keys = _descending(scores.ravel()[places])
    keys <<= _COLUMN_BITS
    keys |= columns
    keys |= rows << (_SCORE_BITS + _COLUMN_BITS)
    keys.sort()
    starts = np.cumsum(counts) - counts
    best: Int64Array = keys[starts[:, np.newaxis] + np.arange(k)]
    best &= (1 << _COLUMN_BITS) - 1
    return best


def _descending(scores: Float32Array) -> Int64Array:
    """Numbers of 32 bits in the opposite order of scores, which are finite."""
    # Zeros of either sign are equal.
    bits = (scores + np.float32(0)).view(np.int32).astype(np.int64)
    bits ^= (bits >> 63) & 0x7FFFFFFF
    np.subtract(0x7FFFFFFF, bits, out=bits)
    return bits


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
    # Positive numbers are in the order of their bits. The last of them say nothing, and
    # make room for the cell.
    last_bits = (1 << n_cells.bit_length()) - 1
    keys = times.view(np.int64).ravel()
    keys &= ~last_bits
    keys |= nearest.ravel()
    keys.sort()
    served = keys & last_bits
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

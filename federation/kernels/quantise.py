"""Numbers rounded so that sums of them are exact.

Two roundings are used. *Codes* (int8, one scale a vector) decide which cell a vector
belongs to: every product of the assignment is an integer, so a float32 GEMM gives the
same bits however its rows are cut and however many threads share it. *Fixed point*
(one scale for all) is what is added up: int64 sums do not depend on the order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .arrays import (
    Float32Array,
    Float64Array,
    Int8Array,
    Int16Array,
    Int64Array,
)
from .blocks import PatternBlock
from .compiling import compiled
from .errors import KernelInputError
from .halfvecs import Vectors, widened

#: The largest code. 384 products of 127 x 127 stay below 2**24, the end of the
#: integers that float32 holds without a gap.
MAX_CODE = 127

#: One component of a unit vector is counted in 2**-14, so that it fits an int16.
COMPONENT_ONE = 1 << 14

#: A success rate is counted in 2**-14.
RATE_ONE = 1 << 14

#: The most a TV can weigh. With 2**29 TVs, weight x component stays below 2**59.
WEIGHT_ONE = 1 << 16

#: The most samples a TV can claim in what is published.
SAMPLES_PER_DEVICE = 1_000

# Scores made at a time, 16 MiB: smaller products lose more to the threads of the BLAS
# than they gain from the cache, above all on a busy machine.
_ASSIGN_SCORES = 1 << 22

#: Rows up to which the product is the quicker the other way round: twice to three
#: times as quick up to 16, as quick from 64 on, with 4,096 centroids.
_FEW_ROWS = 64

# Rows rounded at a time, for the cache.
_ROUNDED_ROWS = 256


class CodedCentroids:
    """Centroids ready for assignment: int8 codes and what their lengths undo.

    Parameters
    ----------
    centroids : ndarray of shape (n_cells, d), float32
        Finite, any length but zero; only the direction counts. ``d`` is at most 1,040,
        which keeps every dot product of codes below 2**24.

    Raises
    ------
    KernelInputError
        If the array is not two-dimensional or too wide.
    """

    def __init__(self, centroids: Float32Array) -> None:
        if centroids.ndim != 2 or centroids.shape[1] * MAX_CODE**2 >= 1 << 24:
            raise KernelInputError(
                f"Centroids of shape {centroids.shape} have no exact products; "
                "expected (n_cells, 384)."
            )
        codes = quantise(centroids)
        squares = np.square(codes.astype(np.int64)).sum(axis=1)
        norms = np.sqrt(np.maximum(squares, 1).astype(np.float64))
        self._codes = codes.astype(np.float32)
        self._inverse_norms = (1.0 / norms).astype(np.float32)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def _rows_at_once(self) -> int:
        return max(1, _ASSIGN_SCORES // max(1, len(self)))

    def scores(self, codes: Int8Array) -> Float32Array:
        """Cosine of every row with every centroid, but for the row's own length.

        Parameters
        ----------
        codes : ndarray of shape (n, d), int8
            Rows from :func:`quantise`.

        Returns
        -------
        ndarray of shape (n, n_cells), float32
            Divide by :func:`code_norms` of a row for its cosines.
        """
        products = codes.astype(np.float32) @ self._codes.T  # exact integers
        products *= self._inverse_norms
        return products

    def assign(self, vectors: Vectors) -> tuple[Int64Array, Float32Array]:
        """The nearest centroid of every vector, and the cosine with it.

        Parameters
        ----------
        vectors : ndarray of shape (n, d), float16 or float32
            As :func:`quantise` takes them.

        Returns
        -------
        cells : ndarray of shape (n,), int64
            As :meth:`nearest`.
        cosines : ndarray of shape (n,), float32
            -1 to 1; 0 where there is no centroid.
        """
        cells = np.empty(len(vectors), dtype=np.int64)
        cosines = np.empty(len(vectors), dtype=np.float32)
        for part in _parts(len(vectors), self._rows_at_once):
            codes = quantise(widened(vectors[part]))
            cells[part], scores = self.nearest(codes)
            cosines[part] = scores / code_norms(codes)
        return cells, cosines

    def nearest(self, codes: Int8Array) -> tuple[Int64Array, Float32Array]:
        """The nearest centroid of every row, and its score.

        Parameters
        ----------
        codes : ndarray of shape (n, d), int8
            Rows from :func:`quantise`.

        Returns
        -------
        cells : ndarray of shape (n,), int64
            Row of the nearest centroid; of equally near ones the lowest. -1 everywhere
            if there is no centroid.
        scores : ndarray of shape (n,), float32
            As :meth:`scores`; 0 where there is no centroid.
        """
        cells = np.full(len(codes), -1, dtype=np.int64)
        best = np.zeros(len(codes), dtype=np.float32)
        if len(self) == 0:
            return cells, best
        if len(codes) <= _FEW_ROWS:
            return self._nearest_to_few(codes)
        for part in _parts(len(codes), self._rows_at_once):
            scores = self.scores(codes[part])
            winners = scores.argmax(axis=1)  # the first of equals: the lower cell
            cells[part] = winners
            best[part] = scores[np.arange(len(scores)), winners]
        return cells, best

    def _nearest_to_few(self, codes: Int8Array) -> tuple[Int64Array, Float32Array]:
        """The same the other way round: BLAS then copies the few, not the centroids."""
        products = self._codes @ codes.T.astype(np.float32)  # (n_cells, n)
        products *= self._inverse_norms[:, np.newaxis]
        winners = products.argmax(axis=0)
        return winners, products[winners, np.arange(len(codes))]


def quantise(vectors: Float32Array) -> Int8Array:
    """Round vectors to int8, each with a scale of its own.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Finite. Rows of zeros are allowed and stay zeros.

    Returns
    -------
    ndarray of shape (n, d), int8
        ``round(127 x / max|x|)`` row by row. The cosine between a unit vector in 384
        dimensions and its codes is 1.0000.

    Notes
    -----
    Every step is elementwise or a maximum, so a row's codes depend on that row alone.
    """
    peaks = np.abs(vectors).max(axis=1, initial=0.0)
    scales = np.float32(MAX_CODE) / np.where(peaks > 0, peaks, np.float32(1))
    scaled = vectors * scales[:, np.newaxis].astype(np.float32)
    return np.rint(scaled).astype(np.int8)


def code_norms(codes: Int8Array) -> Float32Array:
    """Lengths of coded rows.

    Parameters
    ----------
    codes : ndarray of shape (n, d), int8
        Rows from :func:`quantise`.

    Returns
    -------
    ndarray of shape (n,), float32
        At least 1, so that a row of zeros can be divided by it.
    """
    wide = codes.astype(np.float32)
    squares = np.einsum("ij,ij->i", wide, wide)  # exact: below 2**24
    norms: Float32Array = np.sqrt(np.maximum(squares, np.float32(1)))
    return norms


def to_fixed_point(vectors: Float32Array) -> Int16Array:
    """Components of unit vectors as whole multiples of 2**-14.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Components within -1 to 1; what lies a rounding error outside is pulled in.

    Returns
    -------
    ndarray of shape (n, d), int16
        ``round(2**14 x)``.
    """
    fixed = np.empty(vectors.shape, dtype=np.int16)
    for part in _parts(len(vectors), _ROUNDED_ROWS):
        scaled = vectors[part] * np.float32(COMPONENT_ONE)
        np.rint(scaled, out=scaled)
        np.clip(scaled, -COMPONENT_ONE, COMPONENT_ONE, out=scaled)
        fixed[part] = scaled
    return fixed


def unit_rows(sums: Int64Array) -> Float32Array:
    """Directions of fixed-point sums.

    Parameters
    ----------
    sums : ndarray of shape (n, d), int64
        Any magnitudes; rows of zeros stay zeros.

    Returns
    -------
    ndarray of shape (n, d), float32
        Rows of length one.

    Notes
    -----
    Rows are scaled by their largest component first, so that squares neither overflow
    nor vanish. Each row is summed on its own, in numpy's fixed order.
    """
    wide = sums.astype(np.float64)
    peaks = np.abs(wide).max(axis=1, initial=0.0)
    wide /= np.where(peaks > 0, peaks, 1.0)[:, np.newaxis]
    lengths = np.sqrt(np.square(wide).sum(axis=1))
    wide /= np.where(lengths > 0, lengths, 1.0)[:, np.newaxis]
    return wide.astype(np.float32)


def sums_by_group(
    vectors: Int16Array, weights: Int64Array, groups: Int64Array, n_groups: int
) -> Int64Array:
    """Exact weighted sums of rows, group by group.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), int16
        Rows from :func:`to_fixed_point`.
    weights : ndarray of shape (n,), int64
        From 0 to ``WEIGHT_ONE``.
    groups : ndarray of shape (n,), int64
        Group of each row, from 0 to ``n_groups - 1``.
    n_groups : int
        How many groups there are.

    Returns
    -------
    ndarray of shape (n_groups, d), int64
        ``sum(weights[i] * vectors[i])`` over the rows of each group.

    Raises
    ------
    KernelInputError
        If a group is another number.
    """
    _check_groups(groups, n_groups)
    sums = np.zeros((n_groups, vectors.shape[1]), dtype=np.int64)
    _add_fixed(sums, vectors, weights, groups)
    return sums


class GroupSums:
    """Exact weighted sums of unit vectors by group, of blocks that come one by one.

    Parameters
    ----------
    n_groups : int
        How many groups there are.
    width : int
        Components of a vector.
    """

    def __init__(self, n_groups: int, width: int) -> None:
        self._sums = np.zeros((n_groups, width), dtype=np.int64)

    def add(self, vectors: Vectors, weights: Int64Array, groups: Int64Array) -> None:
        """Add some rows.

        Parameters
        ----------
        vectors : ndarray of shape (n, width), float16 or float32
            As :func:`to_fixed_point` takes them.
        weights, groups : ndarrays of shape (n,), int64
            As :func:`sums_by_group` takes them; the group of a row without weight may
            be any number.
        """
        _check_groups(groups[weights > 0], len(self._sums))
        for part in _parts(len(vectors), _ROUNDED_ROWS):
            _add_units(self._sums, widened(vectors[part]), weights[part], groups[part])

    def sums(self) -> Int64Array:
        """What has been added so far.

        Returns
        -------
        ndarray of shape (n_groups, width), int64
            A copy; as :func:`sums_by_group` of all rows.
        """
        return self._sums.copy()


def _check_groups(groups: Int64Array, n_groups: int) -> None:
    """What is compiled would write anywhere."""
    if len(groups) and not 0 <= groups.min() <= groups.max() < n_groups:
        raise KernelInputError(f"A group isn't one of 0 to {n_groups - 1}.")


def _parts(count: int, size: int) -> Iterator[slice]:
    """So many at a time."""
    for start in range(0, count, size):
        yield slice(start, start + size)


@compiled
def _add_units(
    sums: Int64Array, vectors: Float32Array, weights: Int64Array, groups: Int64Array
) -> None:
    """Add ``weight * round(2**14 x)`` to the sums of each row's group."""
    one = np.float32(COMPONENT_ONE)
    # Above it float32 has whole numbers only, so that adding it rounds, halves to even.
    rounding = np.float32(3 << 22)
    for row in range(len(vectors)):
        if weights[row] == 0:
            continue
        total = sums[groups[row]]
        weight = np.int32(weights[row])
        for place in range(vectors.shape[1]):
            scaled = min(max(vectors[row, place] * one, -one), one)
            total[place] += weight * np.int32((scaled + rounding) - rounding)


@compiled
def _add_fixed(
    sums: Int64Array, vectors: Int16Array, weights: Int64Array, groups: Int64Array
) -> None:
    """Add weight times components to the sums of each row's group."""
    for row in range(len(vectors)):
        total = sums[groups[row]]
        weight = np.int32(weights[row])
        for place in range(vectors.shape[1]):
            total[place] += weight * np.int32(vectors[row, place])


def pattern_weights(block: PatternBlock) -> Int64Array:
    """How much each pattern counts, capped so that no TV counts more than one.

    Parameters
    ----------
    block : PatternBlock
        Any block.

    Returns
    -------
    ndarray of shape (n,), int64
        In units of 1 / ``WEIGHT_ONE``; the weights of one TV sum to at most that.

    Notes
    -----
    ``w_i = e_i / max(1, sum_j e_j)`` over the patterns j of the same TV, where
    ``e = success_rate * sample_count`` is what the TV says of itself: what a TV says
    can shift weight among its own patterns, and nothing else. All in integers.
    """
    rates = rate_fixed_point(block.success_rate)
    evidence = rates * np.clip(block.sample_count, 0, (1 << 31) - 1)  # below 2**45
    totals = _device_totals(evidence, block)
    return evidence * WEIGHT_ONE // np.maximum(totals, RATE_ONE)


def capped_samples(block: PatternBlock) -> Int64Array:
    """Sample counts, scaled down where a TV claims too many.

    Parameters
    ----------
    block : PatternBlock
        Any block.

    Returns
    -------
    ndarray of shape (n,), int64
        The counts of one TV sum to at most ``SAMPLES_PER_DEVICE``.
    """
    counts = np.clip(block.sample_count, 0, (1 << 31) - 1)
    totals = _device_totals(counts, block)
    return counts * SAMPLES_PER_DEVICE // np.maximum(totals, SAMPLES_PER_DEVICE)


def rate_fixed_point(rates: Float32Array) -> Int64Array:
    """Success rates as whole multiples of 2**-14.

    Parameters
    ----------
    rates : ndarray of shape (n,), float32
        0 to 1; what lies outside is pulled in.

    Returns
    -------
    ndarray of shape (n,), int64
        0 to ``RATE_ONE``.
    """
    clipped: Float64Array = np.clip(rates, 0, 1).astype(np.float64)
    return np.rint(clipped * RATE_ONE).astype(np.int64)


def _device_totals(values: Int64Array, block: PatternBlock) -> Int64Array:
    """Per row, the sum of ``values`` over the rows of the same TV."""
    if len(values) == 0:
        return values
    starts = np.flatnonzero(np.r_[True, np.diff(block.device_index) != 0])
    totals = np.add.reduceat(values, starts)
    return np.repeat(totals, np.diff(np.r_[starts, len(values)]))

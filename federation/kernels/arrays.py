"""Array types shared by the kernels, and the two group-by moves they are made of."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]
Int8Array: TypeAlias = npt.NDArray[np.int8]
Int16Array: TypeAlias = npt.NDArray[np.int16]
Int64Array: TypeAlias = npt.NDArray[np.int64]
UInt8Array: TypeAlias = npt.NDArray[np.uint8]
UInt64Array: TypeAlias = npt.NDArray[np.uint64]


def group_starts(sorted_values: Int64Array) -> Int64Array:
    """Where each run of equal values begins.

    Parameters
    ----------
    sorted_values : ndarray of shape (n,), int64
        Equal values lie side by side.

    Returns
    -------
    ndarray of shape (n_groups,), int64
        Index of the first element of every run; empty for no values.
    """
    if len(sorted_values) == 0:
        return np.zeros(0, dtype=np.int64)
    is_first = np.ones(len(sorted_values), dtype=np.bool_)
    np.not_equal(sorted_values[1:], sorted_values[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)


def float_sums(
    groups: Int64Array, values: Float64Array, n_groups: int = 0
) -> Float64Array:
    """Sums of values by group, added in their order.

    Parameters
    ----------
    groups : ndarray of shape (n,), int64
        The group of each value, from 0.
    values : ndarray of shape (n,), float64
        What to add up.
    n_groups : int, default 0
        How many groups there are at least.

    Returns
    -------
    ndarray of shape (n_groups or more,), float64
        0 for groups without a value.
    """
    return np.bincount(groups, values, n_groups).astype(np.float64)


def distinct(values: Int64Array) -> Int64Array:
    """Each value once, ascending; for numbers many times quicker than ``np.unique``.

    Parameters
    ----------
    values : ndarray of shape (n,), int64
        In any order.

    Returns
    -------
    ndarray of shape (n_distinct,), int64
        Sorted.
    """
    # Not stable: sorting eight numbers at a time is quicker than merging runs, though
    # values mostly come TV by TV.
    ordered = np.sort(values)
    return ordered[group_starts(ordered)]


def distinct_pairs(
    firsts: Int64Array, seconds: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Each pair once, in order; sorts one number a pair.

    Parameters
    ----------
    firsts, seconds : ndarrays of shape (n,), int64
        At least 0; the bits of the largest of both are 63 at most together.

    Returns
    -------
    firsts, seconds : ndarrays of shape (n_distinct,), int64
        Sorted by both.
    """
    bits = int(seconds.max(initial=0)).bit_length()
    pairs = distinct(firsts << bits | seconds)
    return pairs >> bits, pairs & ((1 << bits) - 1)

"""Array types shared by the kernels, and the two group-by moves they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
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
    ordered = np.sort(values)
    return ordered[group_starts(ordered)]


def flatten(lists: Sequence[Sequence[str]]) -> tuple[Int64Array, Iterable[str], int]:
    """Turn a list of short lists into rows and values.

    Parameters
    ----------
    lists : sequence of sequences of str
        One short list a row.

    Returns
    -------
    rows : ndarray of shape (n_values,), int64
        The row each value came from, non-decreasing.
    values : iterable of str
        The values, row after row. It can be walked once.
    n_values : int
        How many there are.
    """
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    rows = np.repeat(np.arange(len(lists), dtype=np.int64), lengths)
    return rows, chain.from_iterable(lists), len(rows)

"""Which cells may be shown to other households, and what is shown of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import compress
from typing import Any

import numpy as np

from .arrays import BoolArray, Float32Array, Int8Array, Int64Array
from .errors import KernelInputError
from .quantise import RATE_ONE, WEIGHT_ONE, unit_rows
from .sparse import SparseCounts
from .sums import CellSums

#: How many genres and contents are told of a cell.
TOP_NAMES = 8

# No TV may have more than this share of a cell's weight, however many stand behind it:
# fifty TVs of which one has all the weight would publish that one's vector.
_DOMINANT_SHARE = 0.5

# A context value is told with a majority, or with this share and half again as much
# as the next.
_PLURALITY_SHARE = 0.35
_PLURALITY_LEAD = 1.5


@dataclass(frozen=True)
class PublishableCells:
    """What is published of a round, a row a cell, in the order of the cells."""

    #: Rows of the sums that are published, ascending. (n,)
    rows: Int64Array
    #: Unit vectors. (n, 384)
    embeddings: Float32Array
    #: Weighted mean, 0 to 1. (n,)
    success_rate: Float32Array
    #: Samples, TVs and shards behind each; samples at least 1. (n,) each
    sample_count: Int64Array
    device_count: Int64Array
    source_count: Int64Array
    #: Weight as TVs: a TV that has all its evidence in the cell counts one. (n,)
    mass: Float32Array
    #: Codes of the context vocabularies, 0 where no value is typical. (n,) each
    time_of_day: Int8Array
    day_of_week: Int8Array
    content_type: Int8Array
    #: At most 8 names each, the most telling first.
    genres: list[list[str]]
    contents: list[list[str]]
    #: Cells with at least one TV that are held back.
    n_suppressed: int

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, is_kept: BoolArray) -> PublishableCells:
        """Some of the cells.

        Parameters
        ----------
        is_kept : ndarray of shape (n,), bool
            Which of them.

        Returns
        -------
        PublishableCells
            In the same order, with the same number of suppressed ones.
        """
        kept: dict[str, Any] = {"n_suppressed": self.n_suppressed}
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, list):
                kept[field.name] = list(compress(column, is_kept))
            elif isinstance(column, np.ndarray):
                kept[field.name] = column[is_kept]
        return PublishableCells(**kept)


def publishable_cells(
    sums: CellSums, *, min_sources: int, min_devices: int, min_batches: int = 1
) -> PublishableCells:
    """Choose the cells that enough TVs stand behind and describe them.

    Parameters
    ----------
    sums : CellSums
        Merged over all shards.
    min_sources : int
        Shards that must have a TV in the cell.
    min_devices : int
        Distinct TVs that must stand behind the cell, and behind each of its genres,
        contents and circumstances within the cell.
    min_batches : int, default 1
        Distinct enrolment batches those TVs must come from, so that one leaked key
        cannot fill a cell.

    Returns
    -------
    PublishableCells
        Possibly none.

    Raises
    ------
    KernelInputError
        If a limit is below 1.

    Notes
    -----
    The embedding is ``unit(sum_i w_i x_i)`` and the success rate
    ``sum_i w_i r_i / sum_i w_i``, both over all patterns i of the cell with the capped
    weights of ``quantise.pattern_weights``.

    A cell is also held back if one TV has more than half of its weight (the dominance
    rule of statistical disclosure control), or if its vectors cancel out.
    """
    limits = {"sources": min_sources, "devices": min_devices, "batches": min_batches}
    for name, limit in limits.items():
        if limit < 1:
            raise KernelInputError(f"min_{name} is {limit}; expected at least 1.")
    rows = np.flatnonzero(
        (sums.sources >= min_sources)
        & (sums.devices >= min_devices)
        & (sums.batches.row_totals(sums.n_cells) >= min_batches)
        & _is_shared(sums, min_devices)
        & np.any(sums.vectors != 0, axis=1)
    )
    weights = np.maximum(sums.weights[rows], 1)
    success = sums.successes[rows] / weights / RATE_ONE
    return PublishableCells(
        rows=rows,
        embeddings=unit_rows(sums.vectors[rows]),
        success_rate=success.astype(np.float32),
        sample_count=np.maximum(sums.samples[rows], 1),
        device_count=sums.devices[rows],
        source_count=sums.sources[rows],
        mass=(sums.weights[rows] / WEIGHT_ONE).astype(np.float32),
        time_of_day=_shared_codes(
            sums.time_of_day[rows], sums.time_of_day_devices[rows], min_devices
        ),
        day_of_week=_shared_codes(
            sums.day_of_week[rows], sums.day_of_week_devices[rows], min_devices
        ),
        content_type=_shared_codes(
            sums.content_type[rows], sums.content_type_devices[rows], min_devices
        ),
        genres=[_top_names(sums.genres, row, min_devices) for row in rows.tolist()],
        contents=[_top_names(sums.contents, row, min_devices) for row in rows.tolist()],
        n_suppressed=int((sums.devices > 0).sum()) - len(rows),
    )


def typical_codes(histograms: Int64Array) -> Int8Array:
    """The context value of each row that is typical of it, if one is.

    Parameters
    ----------
    histograms : ndarray of shape (n, n_codes), int64
        Weight by code; code 0 is unspecified.

    Returns
    -------
    ndarray of shape (n,), int8
        The code with more than half of the specified weight, or with 35 % of it and
        half again as much as the next; else 0. Always 0 where most weight is
        unspecified.
    """
    named = histograms.copy()
    named[:, 0] = 0
    total = named.sum(axis=1)
    first = named.argmax(axis=1)
    rows = np.arange(len(named))
    most = named[rows, first]
    named[rows, first] = 0
    second = named.max(axis=1, initial=0)
    is_majority = 2 * most > total
    is_plurality = (most >= _PLURALITY_SHARE * total) & (
        most >= _PLURALITY_LEAD * second
    )
    is_known = (total > 0) & (2 * total >= histograms.sum(axis=1))
    is_typical = is_known & (is_majority | is_plurality)
    return np.where(is_typical, first, 0).astype(np.int8)


def _shared_codes(
    histograms: Int64Array, devices: Int64Array, min_devices: int
) -> Int8Array:
    """The typical codes that enough TVs named; else 0."""
    codes = typical_codes(histograms)
    is_backed = devices[np.arange(len(codes)), codes] >= min_devices
    return np.where(is_backed, codes, 0).astype(np.int8)


def _is_shared(sums: CellSums, min_devices: int) -> BoolArray:
    if min_devices < 2:
        return np.ones(sums.n_cells, dtype=np.bool_)
    return sums.heaviest <= _DOMINANT_SHARE * sums.weights


def _top_names(table: SparseCounts, row: int, min_devices: int) -> list[str]:
    columns, counts = table.row(row)
    enough = counts >= min_devices
    columns, counts = columns[enough], counts[enough]
    order = np.lexsort((columns, -counts))[:TOP_NAMES]  # of equals, alphabetical
    return [table.column_names[column] for column in columns[order].tolist()]

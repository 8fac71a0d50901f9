"""Counts of pairs: (cell, genre), (region, content), (cell, batch) ...

Kept as sorted keys with a count each, so that memory follows what occurs, two tables
merge exactly in any order, and equal tables have equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from .arrays import BoolArray, Int64Array, group_starts
from .compiling import compiled
from .errors import KernelInputError

# Pairs that wait before they are counted together: at first as many as a cache holds,
# then a quarter of those that are counted, up to 8 MiB.
_LEAST_WAITING = 1 << 17
_MOST_WAITING = 1 << 20

_COLUMN_BITS = 32
_COLUMN_MASK = (1 << _COLUMN_BITS) - 1
_INT64_BITS = 64


#: Keys, no key twice, and a count each.
Pairs: TypeAlias = tuple[Int64Array, Int64Array]


@dataclass(frozen=True)
class SparseCounts:
    """How often each pair (row, column) occurs.

    Sorted by row, then column; no pair twice; every count positive.
    """

    rows: Int64Array
    columns: Int64Array
    counts: Int64Array
    #: What row i is called, in alphabetical order; empty when rows are numbers.
    row_names: tuple[str, ...] = ()
    #: What column j is called, in alphabetical order; empty when columns are numbers.
    column_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.counts)

    def row(self, row: int) -> tuple[Int64Array, Int64Array]:
        """Columns and counts of one row.

        Parameters
        ----------
        row : int
            A row number; a row that never occurs is empty.

        Returns
        -------
        columns, counts : ndarrays of shape (n,), int64
            Columns ascending.
        """
        start, end = np.searchsorted(self.rows, [row, row + 1])
        return self.columns[start:end], self.counts[start:end]

    def row_dict(self, row: int | str) -> dict[str, int]:
        """One row of a table with named columns.

        Parameters
        ----------
        row : int or str
            A row number, or its name where rows are named.

        Returns
        -------
        dict of str to int
            Counts by column name, in alphabetical order; empty for an unknown row.
        """
        if isinstance(row, str):
            if row not in self.row_names:
                return {}
            row = self.row_names.index(row)
        columns, counts = self.row(row)
        return {
            self.column_names[column]: count
            for column, count in zip(columns.tolist(), counts.tolist(), strict=True)
        }

    def row_totals(self, n_rows: int) -> Int64Array:
        """Number of distinct columns of each row.

        Parameters
        ----------
        n_rows : int
            More than any row number.

        Returns
        -------
        ndarray of shape (n_rows,), int64
            0 for rows that never occur.
        """
        return np.bincount(self.rows, minlength=n_rows).astype(np.int64)


class Alphabet:
    """Names by number, whose alphabetical order is found once.

    Parameters
    ----------
    names : sequence of str
        In any order, no name twice.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _order(self) -> Int64Array:
        names = self._names
        return np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)

    def number(self, occurs: BoolArray) -> tuple[Int64Array, tuple[str, ...]]:
        """Number the names that occur in alphabetical order.

        Parameters
        ----------
        occurs : ndarray of shape (n_names,), bool
            Which do.

        Returns
        -------
        numbers : ndarray of shape (n_names,), int64
            Their numbers from 0; nothing is said of the others.
        names : tuple of str
            Those that occur.
        """
        used = self._order[occurs[self._order]]
        numbers = np.zeros(len(self._names), dtype=np.int64)
        numbers[used] = np.arange(len(used))
        return numbers, tuple(map(self._names.__getitem__, used.tolist()))


class CountsBuilder:
    """Adds up pairs block by block."""

    def __init__(self) -> None:
        # Sorted, no key twice.
        self._keys, self._counts = _no_pairs()
        # Not counted yet.
        self._once: list[Int64Array] = []
        self._often: list[tuple[Int64Array, Int64Array]] = []
        self._buffered = 0

    def add(
        self, rows: Int64Array, columns: Int64Array, counts: Int64Array | None = None
    ) -> None:
        """Count some pairs.

        Parameters
        ----------
        rows, columns : ndarrays of shape (n,), int64
            Each in 0..2**31 - 1. Pairs may repeat.
        counts : ndarray of shape (n,), int64, optional
            How often each occurs, at least once; once by default.
        """
        if len(rows) == 0:
            return
        keys = rows << _COLUMN_BITS | columns
        if counts is None:
            self._once.append(keys)
        else:
            self._often.append((keys, counts))
        self._buffered += len(keys)
        if self._buffered > max(
            _LEAST_WAITING, min(_MOST_WAITING, len(self._keys) // 4)
        ):
            self._compact()

    def counts(
        self,
        *,
        row_names: Sequence[str] | Alphabet = (),
        column_names: Sequence[str] | Alphabet = (),
    ) -> SparseCounts:
        """Everything added so far; nothing is left in the builder.

        Parameters
        ----------
        row_names, column_names : sequences of str or Alphabet, optional
            The names behind the numbers, in any order, no name twice.

        Returns
        -------
        SparseCounts
            Renumbered so that the names that occur are in alphabetical order.
        """
        self._compact()
        keys, counts = self._keys, self._counts
        self._keys, self._counts = _no_pairs()
        return _by_names(keys, counts, _alphabet(row_names), _alphabet(column_names))

    def add_beside(self, other: CountsBuilder, *, column: int) -> None:
        """Add the other's pairs, its columns following; it is empty then.

        Parameters
        ----------
        other : CountsBuilder
            With the same rows.
        column : int
            The number that the other's column 0 gets.
        """
        other._compact()
        self._compact()
        self._merge(other._keys + column, other._counts)
        other._keys, other._counts = _no_pairs()

    def _compact(self) -> None:
        for keys, counts in self._waiting():
            self._merge(keys, counts)
        self._once, self._often, self._buffered = [], [], 0

    def _merge(self, keys: Int64Array, counts: Int64Array) -> None:
        known = len(self._keys)
        size = known + _count_new(self._keys, keys)
        for array in (self._keys, self._counts):
            array.resize(size, refcheck=False)  # where it is, if it is large
        _merge_into(self._keys, self._counts, known, keys, counts)

    def _waiting(self) -> Iterator[Pairs]:
        """What isn't counted yet: distinct keys, sorted, and a count each."""
        if self._once:
            keys = np.sort(np.concatenate(self._once))
            starts = group_starts(keys)
            yield keys[starts], np.diff(starts, append=len(keys))
        if self._often:
            keys = np.concatenate([keys for keys, _ in self._often])
            order = np.argsort(keys)
            counts = np.concatenate([counts for _, counts in self._often])[order]
            starts = group_starts(keys[order])
            yield keys[order[starts]], np.add.reduceat(counts, starts)


def _no_pairs() -> Pairs:
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def _by_names(
    keys: Int64Array, counts: Int64Array, row_names: Alphabet, column_names: Alphabet
) -> SparseCounts:
    """Keys in order, renumbered by their names.

    The largest table is most of a reading's memory, so everything is done where it is.
    """
    numbered_rows, rows_used = _numbered(row_names, keys, _COLUMN_BITS)
    numbered_columns, columns_used = _numbered(column_names, keys, 0)
    if rows_used or columns_used:
        _renumber(keys, numbered_rows, numbered_columns)
        _sort(keys, counts)
    rows = keys >> _COLUMN_BITS
    keys &= _COLUMN_MASK
    return SparseCounts(rows, keys, counts, rows_used, columns_used)


def _numbered(
    names: Alphabet, keys: Int64Array, shift: int
) -> tuple[Int64Array, tuple[str, ...]]:
    occurs = np.zeros(len(names), dtype=np.bool_)
    if len(names):
        _mark(occurs, keys, shift)
    return names.number(occurs)


def _sort(keys: Int64Array, counts: Int64Array) -> None:
    """Sort both by key: numbers that hold key and count, if they have room for them."""
    bits = int(np.bitwise_or.reduce(keys))
    column_bits = (bits & _COLUMN_MASK).bit_length()
    row_bits = (bits >> _COLUMN_BITS).bit_length()
    count_bits = int(np.bitwise_or.reduce(counts)).bit_length()
    if row_bits + column_bits + count_bits < _INT64_BITS:
        _pack(keys, counts, column_bits, count_bits)
        keys.sort()
        _unpack(keys, counts, column_bits, count_bits)
        return
    order = np.argsort(keys)
    keys[:], counts[:] = keys[order], counts[order]


@compiled
def _mark(occurs: BoolArray, keys: Int64Array, shift: int) -> None:
    for key in keys:
        occurs[key >> shift & _COLUMN_MASK] = True


@compiled
def _renumber(keys: Int64Array, rows: Int64Array, columns: Int64Array) -> None:
    """Give rows and columns new numbers; an empty table leaves the old ones."""
    for place, key in enumerate(keys):
        row, column = key >> _COLUMN_BITS, key & _COLUMN_MASK
        if len(rows):
            row = rows[row]
        if len(columns):
            column = columns[column]
        keys[place] = row << _COLUMN_BITS | column


@compiled
def _pack(
    keys: Int64Array, counts: Int64Array, column_bits: int, count_bits: int
) -> None:
    """Put key and count into one number each, which are in the order of the keys."""
    for place, key in enumerate(keys):
        pair = key >> _COLUMN_BITS << column_bits | key & _COLUMN_MASK
        keys[place] = pair << count_bits | counts[place]


@compiled
def _unpack(
    keys: Int64Array, counts: Int64Array, column_bits: int, count_bits: int
) -> None:
    for place, packed in enumerate(keys):
        counts[place] = packed & (1 << count_bits) - 1
        pair = packed >> count_bits
        column = pair & (1 << column_bits) - 1
        keys[place] = pair >> column_bits << _COLUMN_BITS | column


@compiled
def _count_new(keys: Int64Array, others: Int64Array) -> int:
    """How many of the others are no keys; both are sorted."""
    count = one = 0
    for other in others:
        while one < len(keys) and keys[one] < other:
            one += 1
        if one == len(keys) or keys[one] != other:
            count += 1
    return count


@compiled
def _merge_into(
    keys: Int64Array,
    counts: Int64Array,
    known: int,
    others: Int64Array,
    other_counts: Int64Array,
) -> None:
    """Take others in among the known keys, from behind, where there is room for all."""
    one, other = known - 1, len(others) - 1
    place = len(keys) - 1
    while other >= 0:
        if one >= 0 and keys[one] > others[other]:
            keys[place], counts[place] = keys[one], counts[one]
            one -= 1
        elif one >= 0 and keys[one] == others[other]:
            keys[place], counts[place] = keys[one], counts[one] + other_counts[other]
            one -= 1
            other -= 1
        else:
            keys[place], counts[place] = others[other], other_counts[other]
            other -= 1
        place -= 1


def merge_counts(tables: Sequence[SparseCounts]) -> SparseCounts:
    """Add tables up.

    Parameters
    ----------
    tables : sequence of SparseCounts
        All with named rows or none, all with named columns or none; empty tables go
        with both.

    Returns
    -------
    SparseCounts
        The same whatever the order of the tables.

    Raises
    ------
    KernelInputError
        If some tables name their rows or columns and others number them.
    """
    merger = CountsMerger()
    for table in tables:
        merger.add(table)
    return merger.counts()


class CountsMerger:
    """Takes tables in any order, one after the other, and adds them up.

    Each costs what is in it: what was added before is not gone through again.
    """

    def __init__(self) -> None:
        self._builder = CountsBuilder()
        self._rows: dict[str, int] = {}
        self._columns: dict[str, int] = {}
        self._is_named: tuple[bool, bool] | None = None

    def add(self, table: SparseCounts) -> None:
        """Add a table.

        Parameters
        ----------
        table : SparseCounts
            With named rows or columns if those before it have them, unless it is empty.

        Raises
        ------
        KernelInputError
            If some tables name their rows or columns and others number them.
        """
        if len(table) == 0:
            return
        is_named = bool(table.row_names), bool(table.column_names)
        if self._is_named not in (None, is_named):
            raise KernelInputError("Named and numbered tables cannot be added up.")
        self._is_named = is_named
        self._builder.add(
            _recode(table.rows, table.row_names, self._rows),
            _recode(table.columns, table.column_names, self._columns),
            table.counts,
        )

    def counts(self) -> SparseCounts:
        """Everything added; nothing can be added then.

        Returns
        -------
        SparseCounts
            The same whatever the order of the tables.
        """
        return self._builder.counts(
            row_names=list(self._rows), column_names=list(self._columns)
        )


def _recode(
    codes: Int64Array, names: Sequence[str], numbers: dict[str, int]
) -> Int64Array:
    """Numbers by name, which new names are given; numbers stay what they are."""
    if not names:
        return codes
    table = [numbers.setdefault(name, len(numbers)) for name in names]
    return np.array(table, dtype=np.int64)[codes]


def _alphabet(names: Sequence[str] | Alphabet) -> Alphabet:
    return names if isinstance(names, Alphabet) else Alphabet(names)

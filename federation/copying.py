"""Rows of a binary ``COPY … TO STDOUT``, thousands at a time, as columns of numpy.

A Python object for each value would cost more than the database does. So rows are kept
as the bytes they came as, and read column by column, all rows at once.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from django.db.backends.utils import CursorWrapper
from psycopg import Error, OperationalError, sql
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGconn

from federation.kernels.compiling import compiled
from federation.kernels.names import NameLists
from federation.texts import Bytes, Places, TextTable

#: Rows that are read together, as many as a cache holds.
PARCEL_ROWS = 1_000

# Signature, flags, length of an extension that no server sends.
_HEADER_BYTES = 19
_COUNT_BYTES = 2  # before a row's columns

# An array begins with its own size, the number of its dimensions, whether a value is
# null, and the type of its values; then each dimension has its size and first index.
_EMPTY_ARRAY_BYTES = 16
_DIMENSION_BYTES = 8


class UnexpectedRow(Exception):
    """A row doesn't look as its reader was told."""


@dataclass(frozen=True)
class Rows:
    """Rows as they were sent, side by side."""

    data: Bytes
    #: Where each begins and ends in the data. (n,) each
    starts: Places
    ends: Places

    def __len__(self) -> int:
        return len(self.ends)

    def part(self, rows: slice) -> Rows:
        """Some of them, of the same data."""
        return Rows(self.data, self.starts[rows], self.ends[rows])

    def bytes_of(self, row: int, column: slice) -> bytes:
        """What a row has in a place."""
        start = int(self.starts[row])
        return self.data[start + column.start : start + column.stop].tobytes()


def parcels(
    cursor: CursorWrapper, statement: sql.Composable
) -> Generator[Rows, None, None]:
    """Stream rows as they come, as many at a time as a cache holds."""
    # Only processes that read shards have the compiler in their memory.
    from federation.libpq import END_BYTES, RowBuffer

    buffer = RowBuffer(PARCEL_ROWS)
    with cursor.db.wrap_database_errors, cursor.copy(statement) as copy:
        connection = copy.connection.pgconn
        row = copy.read()[_HEADER_BYTES:] or copy.read()
        if len(row) > END_BYTES:
            buffer.add(row)
            while (size := buffer.fill(connection)) > END_BYTES:
                yield buffer.rows()
                buffer = RowBuffer(PARCEL_ROWS)
            if size < 0:  # an error instead of the end
                raise _error_of(connection)
        if len(buffer):
            yield buffer.rows()
        while copy.read():
            pass


def _error_of(connection: PGconn) -> Error:
    """What went wrong; takes all results, so that others can follow."""
    results = []
    while result := connection.get_result():
        results.append(result)
    error = error_from_result(results[0]) if results else None
    if error is None or error.sqlstate is None:
        # It isn't the server that says so: it is gone, and may be back.
        return OperationalError(connection.get_error_message())
    return error


class Columns:
    """Some rows, from which columns are taken in their order.

    Parameters
    ----------
    rows : Rows
        No value in them is null.
    """

    def __init__(self, rows: Rows) -> None:
        self._data = rows.data
        self._places = rows.starts + _COUNT_BYTES
        self._ends = rows.ends

    def fixed(self, sizes: Places, out: Bytes) -> None:
        """Take columns of fixed sizes.

        Parameters
        ----------
        sizes : ndarray of shape (n_columns,), int64
            How many bytes each value has.
        out : ndarray of shape (n, sum of the sizes), uint8
            Where the values go, side by side.
        """
        other = _take_fixed(self._data, self._places, self._ends, sizes, out)
        if other >= 0:
            raise UnexpectedRow(f"A value of {sizes[other]} bytes has another size.")

    def texts(self, table: TextTable) -> NameLists:
        """Take a column of texts, each as a list of one."""
        return self._named(np.arange(len(self._places) + 1), table)

    def text_lists(self, table: TextTable) -> NameLists:
        """Take a column of arrays of texts, of one dimension at most."""
        bounds = np.zeros(len(self._places) + 1, dtype=np.int64)
        if not _take_array_headers(self._data, self._places, self._ends, bounds):
            raise UnexpectedRow("A column isn't of arrays with one dimension.")
        return self._named(bounds, table)

    def end(self) -> None:
        """Make sure that nothing is left over."""
        if np.any(self._places != self._ends):
            raise UnexpectedRow("Rows have more or less columns than were taken.")

    def _named(self, bounds: Places, table: TextTable) -> NameLists:
        starts = np.empty(bounds[-1], dtype=np.int64)
        sizes = np.empty(bounds[-1], dtype=np.int64)
        if not _take_texts(self._data, self._places, self._ends, bounds, starts, sizes):
            raise UnexpectedRow("A text is null, or no text.")
        numbers = table.numbers(self._data, starts, sizes)
        return NameLists(names=table.names, numbers=numbers, bounds=bounds)


@compiled
def _take_fixed(
    data: Bytes, places: Places, ends: Places, sizes: Places, out: Bytes
) -> int:
    """Copy values and go behind them; the column that isn't as long as told, or -1."""
    for row in range(len(places)):
        place = places[row]
        to = 0
        for column in range(len(sizes)):
            size = sizes[column]
            if place + 4 + size > ends[row]:
                return column
            told = np.int64(0)
            for byte in range(4):
                told = told << 8 | np.int64(data[place + byte])
            if told != size:
                return column
            place += 4
            value = data[place : place + size]
            taken = out[row, to : to + size]
            for byte in range(size):
                taken[byte] = value[byte]
            place += size
            to += size
        places[row] = place
    return -1


@compiled
def _take_array_headers(
    data: Bytes, places: Places, ends: Places, bounds: Places
) -> bool:
    """Go to the first of each array's values, and say how many there are."""
    for row in range(len(places)):
        place = places[row]
        if place + _EMPTY_ARRAY_BYTES > ends[row]:
            return False
        dimensions = data[place + 7]
        count = np.int64(0)
        place += _EMPTY_ARRAY_BYTES
        if dimensions == 1:
            if place + _DIMENSION_BYTES > ends[row]:
                return False
            for byte in range(4):
                count = count << 8 | np.int64(data[place + byte])
            place += _DIMENSION_BYTES
        elif dimensions != 0:
            return False
        bounds[row + 1] = bounds[row] + count
        places[row] = place
    return True


@compiled
def _take_texts(
    data: Bytes,
    places: Places,
    ends: Places,
    bounds: Places,
    starts: Places,
    sizes: Places,
) -> bool:
    """Find where each row's texts begin and how long they are, and go behind them."""
    for row in range(len(places)):
        place = places[row]
        for text in range(bounds[row], bounds[row + 1]):
            if place + 4 > ends[row]:
                return False
            size = np.int64(0)
            for byte in range(4):
                size = size << 8 | np.int64(data[place + byte])
            place += 4
            if place + size > ends[row]:  # as is null, which is minus one
                return False
            starts[text] = place
            sizes[text] = size
            place += size
        places[row] = place
    return True

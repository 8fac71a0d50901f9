"""Rows of a binary ``COPY … TO STDOUT``, thousands at a time, as columns of numpy.

A Python object for each value would cost more than the database does. So rows are kept
as the bytes they came as, and read column by column, all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from time import sleep
from typing import Any

import numpy as np
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray
from psycopg import Copy, sql
from psycopg.abc import Buffer
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGconn

from federation.kernels.names import NameLists
from federation.texts import WORD, Places, TextTable, Words, masks

#: Rows that go from thread to thread together, as many as a cache holds, and how many
#: such parcels may wait.
PARCEL_ROWS = 250
PARCELS_AHEAD = 80

# When a row has come, more are waited for a little: else the system would wake the
# reader for each ten, which takes longer than reading them.
_PAUSE_SECONDS = 0.0002

# Signature, flags, length of an extension that no server sends.
_HEADER_BYTES = 19
_COUNT_BYTES = 2  # before a row's columns, and all there is at the end

# Size of an array's header with its one dimension; without any, it is 12.
_ARRAY_HEADER_BYTES = 20


_NOWHERE = np.zeros(0, dtype=np.int64)


class UnexpectedRow(Exception):
    """A row doesn't look as its reader was told."""


@dataclass(frozen=True)
class Rows:
    """Rows as they were sent, side by side. Behind the last there may be others."""

    data: bytes
    #: Where each begins and ends in the data. (n,) each
    starts: Places
    ends: Places

    @classmethod
    def of(cls, rows: Sequence[Buffer]) -> Rows:
        """Put rows side by side."""
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        ends = np.cumsum(lengths)
        return cls(b"".join(rows), ends - lengths, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def part(self, rows: slice) -> Rows:
        """Some of them, of the same data."""
        return Rows(self.data, self.starts[rows], self.ends[rows])

    def taken_by(self, column: slice) -> NDArray[np.void]:
        """The bytes that each row has in one place."""
        width = column.stop - column.start
        return _values(
            self.data, self.starts + column.start, np.dtype((np.void, width))
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of some parts, in their order."""
    parts = [part for part in parts if len(part)]
    pieces = [memoryview(part.data)[part.starts[0] : part.ends[-1]] for part in parts]
    starts, ends = (
        np.concatenate([getattr(part, name) for part in parts] or [_NOWHERE])
        for name in ("starts", "ends")
    )
    lengths = ends - starts
    ends = np.cumsum(lengths)
    # So that a text at the end can be read as if it were as long as any other.
    padding = bytes(int(lengths.max(initial=0)) + WORD)
    return Rows(b"".join([*pieces, padding]), ends - lengths, ends)


class _Stopped(Exception):
    """Whoever asked for rows wants no more."""


def parcels(
    cursor: CursorWrapper, statement: sql.Composable
) -> Generator[Rows, None, None]:
    """Stream rows as they come, read ahead by a thread of its own.

    The server is never kept waiting while the caller computes. Nobody else may use the
    connection until the generator is closed.
    """
    ahead: Queue[Rows | BaseException | None] = Queue(PARCELS_AHEAD)
    is_stopped = Event()

    def put(parcel: list[Buffer]) -> None:
        if is_stopped.is_set():
            raise _Stopped
        if parcel:
            ahead.put(Rows.of(parcel))

    def read() -> None:
        last: BaseException | None = None
        try:
            with cursor.db.wrap_database_errors, cursor.copy(statement) as copy:
                _read(copy, put)
        except _Stopped:
            return  # the connection has cancelled the rest
        except BaseException as exc:
            last = exc
        ahead.put(last)

    reader = Thread(target=read, name="copy", daemon=True)
    reader.start()
    try:
        while isinstance(parcel := ahead.get(), Rows):
            yield parcel
        if parcel is not None:
            raise parcel
    finally:
        is_stopped.set()
        while reader.is_alive():
            with suppress(Empty):  # so that it doesn't wait for room
                ahead.get(timeout=0.01)
        reader.join()


def _read(copy: Copy, put: Callable[[list[Buffer]], None]) -> None:
    parcel: list[Buffer] = []
    header = copy.read()
    if len(header) > _HEADER_BYTES + _COUNT_BYTES:  # with the first row, or the end
        parcel.append(header[_HEADER_BYTES:])
    while row := copy.read():
        parcel.append(row)
        if len(row) > _COUNT_BYTES:
            _drain(copy.connection.pgconn, parcel)
        if len(parcel) > PARCEL_ROWS:
            put(parcel[:-1])  # the last one may be the end
            del parcel[:-1]
    if parcel and len(parcel[-1]) == _COUNT_BYTES:
        del parcel[-1]
    put(parcel)


def _drain(connection: PGconn, parcel: list[Buffer]) -> None:
    """Take all rows that have come in a moment, and the end."""
    sleep(_PAUSE_SECONDS)
    # While a row is left, so that libpq makes room for more than it had.
    connection.consume_input()
    take = connection.get_copy_data
    size, row = take(1)
    while size > _COUNT_BYTES:
        parcel.append(row)
        size, row = take(1)
    if size > 0:
        parcel.append(row)
    elif size < 0:  # an error instead of the end
        results = []
        while result := connection.get_result():
            results.append(result)
        raise error_from_result(results[0])


class Columns:
    """Some rows, from which columns are taken in their order.

    Parameters
    ----------
    rows : Rows
        From :func:`joined`. No value in them is null.
    """

    def __init__(self, rows: Rows) -> None:
        self._data = rows.data
        self._places = rows.starts + _COUNT_BYTES
        self._ends = rows.ends

    def fixed(self, columns: dict[str, str]) -> NDArray[np.void]:
        """Take all columns of a fixed size, which come first.

        Parameters
        ----------
        columns : dict of str to str
            Names and numpy's big-endian types of their values.

        Returns
        -------
        ndarray of shape (n,)
            With a field for each column.
        """
        layout = []
        for name, kind in columns.items():
            layout += [(f"size of {name}", ">i4"), (name, kind)]
        rows = self._at(self._places, np.dtype(layout))
        for name, kind in columns.items():
            if np.any(rows[f"size of {name}"] != np.dtype(kind).itemsize):
                raise UnexpectedRow(f"Column {name} isn't of type {kind}.")
        self._places = self._places + rows.dtype.itemsize
        return rows

    def texts(self, table: TextTable) -> NameLists:
        """Take a column of texts, each as a list of one."""
        sizes = self._sizes(self._places)
        starts = self._places + 4
        self._places = starts + sizes
        bounds = np.arange(len(starts) + 1, dtype=np.int64)
        return self._named(starts, sizes, bounds, table)

    def text_lists(self, table: TextTable) -> NameLists:
        """Take a column of arrays of texts, of one dimension at most."""
        end = self._places + 4 + self._sizes(self._places)
        begun = self._places + 4
        is_empty = end - begun < _ARRAY_HEADER_BYTES
        counts = np.where(is_empty, 0, self._sizes(begun + 12))
        bounds = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=bounds[1:])
        starts, sizes = np.empty((2, int(bounds[-1])), dtype=np.int64)
        place = begun + _ARRAY_HEADER_BYTES
        for item in range(int(counts.max(initial=0))):
            rows = np.flatnonzero(counts > item)
            size = self._sizes(place[rows])
            if np.any(size < 0):
                raise UnexpectedRow("A text in a list is null.")
            starts[bounds[rows] + item] = place[rows] + 4
            sizes[bounds[rows] + item] = size
            place[rows] += 4 + size
        if np.any((place != end) & ~is_empty):
            raise UnexpectedRow("A column isn't an array of texts.")
        self._places = end
        return self._named(starts, sizes, bounds, table)

    def end(self) -> None:
        """Make sure that nothing is left over."""
        if np.any(self._places != self._ends):
            raise UnexpectedRow("Rows have more or less columns than were taken.")

    def _named(
        self, starts: Places, sizes: Places, bounds: Places, table: TextTable
    ) -> NameLists:
        if np.any(sizes < 0):
            raise UnexpectedRow("A text is null.")
        numbers = table.numbers(self._words(starts, sizes), sizes)
        return NameLists(names=table.names, numbers=numbers, bounds=bounds)

    def _words(self, starts: Places, sizes: Places) -> Words:
        """Texts side by side; a text has no zeros, so what fills it up is no text."""
        width = -(-int(sizes.max(initial=1)) // WORD) * WORD
        texts = self._at(starts, np.dtype((np.void, width)))
        words = texts.view(np.uint64).reshape(len(starts), -1)
        words &= masks(width)[sizes]
        return words

    def _sizes(self, places: Places) -> Places:
        return self._at(places, np.dtype(">i4")).astype(np.int64)

    def _at(self, places: Places, kind: np.dtype[Any]) -> NDArray[Any]:
        """Values of one type that begin at any places."""
        return _values(self._data, places, kind)


def _values(data: bytes, places: Places, kind: np.dtype[Any]) -> NDArray[Any]:
    count = max(0, len(data) - kind.itemsize + 1)
    # Without fields numpy copies a value as one piece.
    whole = np.dtype((np.void, kind.itemsize))
    every = np.ndarray((count,), whole, data, strides=(1,))
    return every[places].view(kind)

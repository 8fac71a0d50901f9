"""Rows of a binary ``COPY … TO STDOUT``, thousands at a time, as columns of numpy.

A Python object for each value would cost more than the database does. So rows are kept
as the bytes they came as, and read column by column, all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

import numpy as np
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray
from psycopg import Copy, sql
from psycopg.abc import Buffer

from federation.kernels.names import NameLists
from federation.kernels.sampling import hash_keys

Places = NDArray[np.int64]
Words = NDArray[np.uint64]

#: Rows that go from thread to thread together, and how many such parcels may wait.
PARCEL_ROWS = 1_000
PARCELS_AHEAD = 20

# Signature, flags, length of an extension that no server sends.
_HEADER_BYTES = 19
_COUNT_BYTES = 2  # before a row's columns, and all there is at the end
_WORD = 8

# Size of an array's header with its one dimension; without any, it is 12.
_ARRAY_HEADER_BYTES = 20


class UnexpectedRow(Exception):
    """A row doesn't look as its reader was told."""


class _Stopped(Exception):
    """Whoever asked for rows wants no more."""


def parcels(
    cursor: CursorWrapper, statement: sql.Composable
) -> Generator[list[Buffer], None, None]:
    """Stream rows as they come, read ahead by a thread of its own.

    The server is never kept waiting while the caller computes. Nobody else may use the
    connection until the generator is closed.
    """
    ahead: Queue[list[Buffer] | BaseException | None] = Queue(PARCELS_AHEAD)
    is_stopped = Event()

    def put(parcel: list[Buffer]) -> None:
        if is_stopped.is_set():
            raise _Stopped
        ahead.put(parcel)

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
        while isinstance(parcel := ahead.get(), list):
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
    for row in copy:
        parcel.append(row)
        if len(parcel) > PARCEL_ROWS:
            put(parcel[:-1])  # the last one may be the end
            del parcel[:-1]
    if parcel and len(parcel[-1]) == _COUNT_BYTES:
        del parcel[-1]
    put(parcel)


class Columns:
    """Some rows, from which columns are taken in their order.

    Parameters
    ----------
    rows : sequence of bytes
        As :func:`parcels` gives them. No value in them is null.
    """

    def __init__(self, rows: Sequence[Buffer]) -> None:
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        self._ends = np.cumsum(lengths)
        self._places = self._ends - lengths + _COUNT_BYTES
        # So that a text at the end can be read as if it were as long as any other.
        padding = bytes(int(lengths.max(initial=0)) + _WORD)
        self._bytes = b"".join([*rows, padding])

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

    def texts(self) -> NameLists:
        """Take a column of texts, each as a list of one."""
        sizes = self._sizes(self._places)
        starts = self._places + 4
        self._places = starts + sizes
        bounds = np.arange(len(starts) + 1, dtype=np.int64)
        return self._named(starts, sizes, bounds)

    def text_lists(self) -> NameLists:
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
        return self._named(starts, sizes, bounds)

    def end(self) -> None:
        """Make sure that nothing is left over."""
        if np.any(self._places != self._ends):
            raise UnexpectedRow("Rows have more or less columns than were taken.")

    def _named(self, starts: Places, sizes: Places, bounds: Places) -> NameLists:
        if np.any(sizes < 0):
            raise UnexpectedRow("A text is null.")
        words = self._words(starts, sizes)
        first, numbers = _distinct(words)
        names = _decoded(words[first], sizes[first])
        return NameLists(names=names, numbers=numbers, bounds=bounds)

    def _words(self, starts: Places, sizes: Places) -> Words:
        """Texts side by side; a text has no zeros, so what fills it up is no text."""
        width = -(-int(sizes.max(initial=1)) // _WORD) * _WORD
        texts = self._at(starts, np.dtype((np.void, width)))
        words = texts.view(np.uint64).reshape(len(starts), -1)
        words &= _masks(width)[sizes]
        return words

    def _sizes(self, places: Places) -> Places:
        return self._at(places, np.dtype(">i4")).astype(np.int64)

    def _at(self, places: Places, kind: np.dtype[Any]) -> NDArray[Any]:
        """Values of one type that begin at any places."""
        count = max(0, len(self._bytes) - kind.itemsize + 1)
        # Without fields numpy copies a value as one piece.
        whole = np.dtype((np.void, kind.itemsize))
        every = np.ndarray((count,), whole, self._bytes, strides=(1,))
        return every[places].view(kind)


def _masks(width: int) -> Words:
    """Words that keep the first n bytes of ``width``, for each n."""
    is_kept = np.arange(width) < np.arange(width + 1)[:, np.newaxis]
    return (is_kept * np.uint8(0xFF)).astype(np.uint8).view(np.uint64)


def _distinct(words: Words) -> tuple[Places, Places]:
    """Where each distinct text is first, and the number of each text."""
    hashes = hash_keys(words, seed=0)
    order = np.argsort(hashes)
    is_new = _is_new(hashes[order, np.newaxis])
    if np.any(is_new != _is_new(words[order])):
        # Two texts share a hash: somebody looked for such.
        order = np.lexsort(words.T)
        is_new = _is_new(words[order])
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.cumsum(is_new) - 1
    return order[is_new], numbers


def _is_new(rows: Words) -> NDArray[np.bool_]:
    """Which rows differ from the one before."""
    is_new = np.ones(len(rows), dtype=np.bool_)
    is_new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return is_new


def _decoded(words: Words, sizes: Places) -> list[str]:
    """All texts at once, cut apart where they are strings."""
    width = words.shape[1] * _WORD
    padded = np.zeros((len(words), width + 1), dtype=np.uint8)
    padded[:, :width] = words.view(np.uint8)
    is_kept = np.arange(width + 1) <= sizes[:, np.newaxis]
    return padded[is_kept].tobytes().decode().split("\0")[:-1]

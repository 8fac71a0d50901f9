"""Rows of a ``COPY`` taken from libpq without a Python object for each.

psycopg has libpq loaded; what is called here is what psycopg calls for a row, on the
connection it has, while nobody else uses that.
"""

from __future__ import annotations

import ctypes
import select
import sys
from typing import Any

import llvmlite.binding
import numpy as np
from numba import types
from numpy.typing import NDArray
from psycopg import OperationalError, pq
from psycopg.abc import Buffer
from psycopg.pq.abc import PGconn

from federation.copying import Rows
from federation.kernels.compiling import compiled
from federation.texts import Bytes, Places

_USUAL_ROW_BYTES = 1_500

#: The end of a binary ``COPY`` comes as a row of so many bytes.
END_BYTES = 2

# The connection is; libpq can say why.
_BROKEN = -3

# When a row has come, more are waited for a little: else the system would wake the
# reader for each ten, which takes longer than reading them.
_PAUSE_MICROSECONDS = 100

# What TLS has read ahead doesn't show at the socket: so it is looked for now and then.
_LONGEST_WAIT_MILLISECONDS = 100

_FUNCTIONS = ("PQconsumeInput", "PQgetCopyData", "PQfreemem")


def _load() -> None:
    """Have compiled code find the libpq that psycopg was linked with."""
    library = ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__)
    for name in _FUNCTIONS:
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        llvmlite.binding.add_symbol(name, address)


_load()
_consume_input: Any = types.ExternalFunction("PQconsumeInput", types.int32(types.intp))
_get_copy_data: Any = types.ExternalFunction(
    "PQgetCopyData", types.int32(types.intp, types.voidptr, types.int32)
)
_free: Any = types.ExternalFunction("PQfreemem", types.void(types.intp))
_copy_memory: Any = types.ExternalFunction(
    "memcpy", types.voidptr(types.voidptr, types.intp, types.intp)
)
_poll: Any = types.ExternalFunction(
    "poll", types.int32(types.voidptr, types.uintp, types.int32)
)
_sleep: Any = types.ExternalFunction("usleep", types.int32(types.uint32))


class RowBuffer:
    """Rows side by side, as many as it has room for.

    Parameters
    ----------
    row_count : int
        How many rows are taken at most.
    """

    def __init__(self, row_count: int) -> None:
        self._data: Bytes = np.empty(_USUAL_ROW_BYTES * row_count, dtype=np.uint8)
        # Where each row begins, and the last one ends.
        self._bounds: Places = np.zeros(row_count + 1, dtype=np.int64)
        self._count = 0
        # Where libpq has put a row, until that is copied; its size.
        self._given = np.zeros(2, dtype=np.int64)

    def __len__(self) -> int:
        return self._count

    def add(self, row: Buffer) -> None:
        """Add a row that psycopg has read."""
        start = int(self._bounds[self._count])
        end = start + len(row)
        if end > len(self._data):
            self._grow(end)
        self._data[start:end] = np.frombuffer(row, dtype=np.uint8)
        self._count += 1
        self._bounds[self._count] = end

    def fill(self, connection: PGconn) -> int:
        """Take rows as they come until it is full.

        Returns what libpq said last: the size of a row, or ``END_BYTES`` for the end;
        below 0 if there was an error.
        """
        address: int = connection.pgconn_ptr  # type: ignore[attr-defined]
        awaited = np.array([_socket_of(connection), select.POLLIN], dtype=np.int32)
        while True:
            self._count, size = _fill(
                *(address, awaited, self._data, self._bounds, self._count, self._given)
            )
            if not self._given[0]:
                return size
            self._grow(int(self._bounds[self._count]) + size)

    def rows(self) -> Rows:
        """What was taken."""
        bounds = self._bounds[: self._count + 1]
        return Rows(self._data, bounds[:-1], bounds[1:])

    def _grow(self, size: int) -> None:
        longer = np.empty(2 * size, dtype=np.uint8)
        longer[: len(self._data)] = self._data
        self._data = longer


def _socket_of(connection: PGconn) -> int:
    """Where rows come from; -1 once the server is gone, whose last rows libpq has."""
    try:
        return connection.socket
    except OperationalError:
        return -1


@compiled
def _fill(
    connection: int,
    awaited: NDArray[np.int32],
    data: Bytes,
    bounds: Places,
    count: int,
    given: Places,
) -> tuple[int, int]:
    """How many rows there are then, and what libpq said last."""
    size = int(given[1])
    while count < len(bounds) - 1:
        if given[0] == 0:
            size = int(_get_copy_data(connection, given.ctypes, 1))
            if size == 0:
                _poll(awaited.ctypes, 1, _LONGEST_WAIT_MILLISECONDS)
                _sleep(_PAUSE_MICROSECONDS)
                if not _consume_input(connection):
                    return count, _BROKEN
                # Once more, so that libpq makes room for all that has come. Where the
                # connection has ended, what came before says why.
                _consume_input(connection)
                continue
            if size <= END_BYTES:
                _free(given[0])
                given[0] = 0
                return count, size
            given[1] = size
        end = bounds[count] + size
        if end > len(data):
            return count, size
        _copy_memory(data[bounds[count] :].ctypes, given[0], size)
        _free(given[0])
        given[0] = 0
        count += 1
        bounds[count] = end
    return count, size

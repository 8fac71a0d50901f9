"""Rows for a binary COPY from columns of numpy: as fast as PostgreSQL takes them.

A column is an array with one value a row, in the bytes that PostgreSQL receives: big
end first, and ``S`` or ``V`` for what has bytes of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_VARCHAR = 1043


def copy_in(cursor: psycopg.Cursor, statement: str, chunks: Iterable[bytes]) -> None:
    """Run a ``COPY … FROM STDIN (FORMAT binary)`` with the rows of some chunks."""
    with cursor.copy(statement) as copy:
        copy.write(_HEADER)
        for chunk in chunks:
            copy.write(chunk)
        copy.write(_END)


def rows(columns: Sequence[NDArray[Any]]) -> bytes:
    """Put columns side by side; an empty text has no width."""
    layout: list[tuple[str, Any]] = [("columns", ">i2")]
    for place, column in enumerate(columns):
        layout.append((f"size {place}", ">i4"))
        if _width(column):
            layout.append((f"value {place}", column.dtype))
    table = np.zeros(len(columns[0]), dtype=np.dtype(layout))
    table["columns"] = len(columns)
    for place, column in enumerate(columns):
        table[f"size {place}"] = _width(column)
        if _width(column):
            table[f"value {place}"] = column
    return table.tobytes()


def same(value: str | int, count: int, kind: str | None = None) -> NDArray[Any]:
    """One value in all rows: a text, or a number of a kind such as ``>i8``."""
    sent = value.encode() if isinstance(value, str) else value
    return np.full(count, sent, dtype=kind or f"S{len(str(value))}")


def whole(table: NDArray[Any]) -> NDArray[np.void]:
    """Each row as one value."""
    size = table.nbytes // max(1, len(table))
    return np.frombuffer(table.tobytes(), np.dtype((np.void, size)), count=len(table))


def halfvecs(vectors: NDArray[Any]) -> NDArray[np.void]:
    """Vectors as pgvector's ``halfvec``. (n, d) -> (n,)"""
    n, dimensions = vectors.shape
    sent = np.empty((n, dimensions + 2), dtype=">f2")
    sent.view(">i2")[:, :2] = (dimensions, 0)  # as halfvec_send begins
    sent[:, 2:] = vectors
    return whole(sent)


def text_lists(form: str, numbers: NDArray[np.int64]) -> NDArray[np.void]:
    """A ``varchar[]`` a row, from numbers and a form that makes texts of one length.

    (n, m) -> (n,)
    """
    known = np.arange(int(numbers.max()) + 1)
    texts = np.array([(form % n).encode() for n in known.tolist()])[numbers]
    count, length = numbers.shape
    item = [("size", ">i4"), ("text", texts.dtype)]
    sent = np.zeros(count, dtype=[("head", ">i4", 5), ("items", item, length)])
    sent["head"] = (1, 0, _VARCHAR, length, 1)
    sent["items"]["size"] = texts.dtype.itemsize
    sent["items"]["text"] = texts
    return whole(sent)


def _width(column: NDArray[Any]) -> int:
    # numpy has no texts of width 0.
    return 0 if column.dtype == "S1" and not column.any() else column.dtype.itemsize

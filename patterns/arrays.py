"""Columns as parameters of raw SQL: PostgreSQL's arrays, in their binary form.

psycopg looks at each element of a list; these are written by one numpy step a column,
from bytes as they came over the wire. The layout is that of ``array_recv`` in
PostgreSQL's src/backend/utils/adt/arrayfuncs.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

# Elements by the oids of their types, which are the same in every database.
_BYTEA, _INT8, _INT2, _INT4, _TEXT, _FLOAT4, _FLOAT8, _UUID = (
    *(17, 20, 21, 23, 25, 700, 701, 2950),
)

UUID_BYTES = 16

#: Dimensions, whether any is null, the elements' type; then length and first index.
_HEADER = struct.Struct(">iiI")
_DIMENSION = struct.Struct(">ii")
_LENGTH = struct.Struct(">i")


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A parameter, written ``%s::type[]``: the cast says whose array it is."""

    sent: bytes


def int2s(values: bytes | Sequence[int]) -> Array:
    """Write numbers, or the bytes of a bytes."""
    numbers = list(values) if isinstance(values, bytes) else values
    return _numbers(numbers, ">i2", _INT2)


def int4s(values: Sequence[int] | NDArray[np.int64]) -> Array:
    return _numbers(values, ">i4", _INT4)


def int8s(values: Sequence[int]) -> Array:
    return _numbers(values, ">i8", _INT8)


def float8s(values: Sequence[float]) -> Array:
    return _numbers(values, ">f8", _FLOAT8)


def float4s(values: NDArray[np.float32]) -> Array:
    """Write a matrix row after row, as one array."""
    return _numbers(values.reshape(-1), ">f4", _FLOAT4)


def uuids(values: Sequence[bytes]) -> Array:
    """Write ids of 16 bytes each."""
    elements = np.empty(len(values), dtype=[("length", ">i4"), ("value", "V16")])
    elements["length"] = UUID_BYTES
    elements["value"] = np.frombuffer(b"".join(values), dtype="V16")
    return _array(_UUID, len(values), elements.tobytes())


def byteas(values: Iterable[bytes]) -> Array:
    return _pieces(list(values), _BYTEA)


def texts(values: Iterable[str]) -> Array:
    return _pieces([value.encode() for value in values], _TEXT)


def _numbers(
    values: Sequence[float] | NDArray[np.generic], kind: str, oid: int
) -> Array:
    elements = np.empty(len(values), dtype=[("length", ">i4"), ("value", kind)])
    elements["length"] = np.dtype(kind).itemsize
    elements["value"] = values
    return _array(oid, len(values), elements.tobytes())


def _pieces(values: Sequence[bytes], oid: int) -> Array:
    parts: list[bytes] = []
    for value in values:
        parts += (_LENGTH.pack(len(value)), value)
    return _array(oid, len(values), b"".join(parts))


def _array(oid: int, count: int, elements: bytes) -> Array:
    if count == 0:
        return Array(_HEADER.pack(0, 0, oid))
    return Array(_HEADER.pack(1, 0, oid) + _DIMENSION.pack(count, 1) + elements)


class _BinaryDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> Buffer:
        return obj.sent


class _TextDumper(Dumper):
    """For Django, which writes statements out while it debugs."""

    def dump(self, obj: Array) -> Buffer:
        return f"an array of {len(obj.sent)} bytes".encode()


# The one that is registered last is preferred.
psycopg.adapters.register_dumper(Array, _TextDumper)
psycopg.adapters.register_dumper(Array, _BinaryDumper)

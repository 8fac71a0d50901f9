"""Dataclasses of arrays as bytes, and back: what shards give, kept between steps.

The same values give the same bytes on every machine, and reading runs no code.
"""

from __future__ import annotations

import json
import struct
import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from .errors import KernelInputError

T = TypeVar("T")

_HEAD_BYTES = struct.Struct("<Q")
_AS_THEY_ARE = (int, float, str, bool)
_INTEGERS = ("<i1", "<i2", "<i4", "<i8")


def to_bytes(value: Any) -> bytes:
    """Write a dataclass.

    Parameters
    ----------
    value : dataclass instance
        Of numbers, strings, bytes, instants, arrays, None, tuples, lists, mappings
        and further such dataclasses.

    Returns
    -------
    bytes
        Equal for equal values: mappings are sorted, arrays little-endian.

    Raises
    ------
    KernelInputError
        If it holds anything else.

    Notes
    -----
    A line of JSON, in which arrays are replaced by their shapes, then the arrays.
    Integers take the fewest bytes that hold the largest, and all first bytes come
    before all second ones: most are zero there, which compresses well.
    """
    arrays: list[bytes] = []
    tree = _plain(value, arrays)
    kind: Any = type(value)
    text = json.dumps([_layout(kind), tree], separators=(",", ":"))
    head = text.encode("utf-8", "surrogatepass")
    return b"".join([_HEAD_BYTES.pack(len(head)), head, *arrays])


def from_bytes(kind: type[T], data: bytes) -> T:
    """Read a dataclass back.

    Parameters
    ----------
    kind : type
        The dataclass that was written.
    data : bytes
        What :func:`to_bytes` gave.

    Returns
    -------
    instance of ``kind``
        Equal to what was written; arrays are new.

    Raises
    ------
    KernelInputError
        If it was another kind, or one with other fields.
    """
    (length,) = _HEAD_BYTES.unpack_from(data)
    start = _HEAD_BYTES.size + length
    layout, tree = json.loads(data[_HEAD_BYTES.size : start].decode())
    written: Any = kind
    if layout != _layout(written):
        raise KernelInputError(f"These bytes are no {kind.__name__} of this release.")
    read: T = _Reader(data, start).value(kind, tree)
    return read


@dataclass
class _Reader:
    """Takes arrays from the bytes in the order in which they were written."""

    data: bytes
    place: int

    def value(self, kind: Any, tree: Any) -> Any:
        if tree is None or kind in _AS_THEY_ARE:
            return tree
        if is_dataclass(kind) and isinstance(kind, type):
            hints = _hints(kind)
            return kind(
                **{
                    field.name: self.value(hints[field.name], each)
                    for field, each in zip(fields(kind), tree, strict=True)
                }
            )
        if kind is datetime:
            return datetime.fromisoformat(tree)
        if kind is bytes:
            self.place += tree
            return self.data[self.place - tree : self.place]
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is np.ndarray:
            return self._array(*tree)
        if origin in (Union, types.UnionType):
            (present,) = (each for each in arguments if each is not type(None))
            return self.value(present, tree)
        if origin is tuple and arguments[-1] is not Ellipsis:
            pairs = zip(arguments, tree, strict=True)
            return tuple(self.value(each, element) for each, element in pairs)
        if origin in (tuple, list, Sequence):
            elements = self._elements(arguments[0], tree)
            return tuple(elements) if origin is tuple else elements
        return {
            self.value(arguments[0], key): self.value(arguments[1], element)
            for key, element in tree
        }

    def _elements(self, kind: Any, tree: list[Any]) -> list[Any]:
        if kind in _AS_THEY_ARE:  # shards give hundreds of thousands of names
            return tree
        return [self.value(kind, element) for element in tree]

    def _array(self, dtype: str, stored: str, shape: list[int]) -> npt.NDArray[Any]:
        kept = np.dtype(stored)
        size = int(np.prod(shape, dtype=np.int64)) * kept.itemsize
        planes = np.frombuffer(self.data, np.uint8, size, self.place)
        self.place += size
        rows = np.ascontiguousarray(planes.reshape(kept.itemsize, -1).T)
        return rows.view(kept).reshape(shape).astype(dtype)


def _plain(value: Any, arrays: list[bytes]) -> Any:
    """What JSON can hold; arrays are put aside."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        return _set_aside(value, arrays)
    if isinstance(value, bytes):
        arrays.append(value)
        return len(value)
    if is_dataclass(value):
        return [_plain(getattr(value, field.name), arrays) for field in fields(value)]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return [[_plain(k, arrays), _plain(value[k], arrays)] for k in sorted(value)]
    if isinstance(value, tuple | list):
        return [_plain(element, arrays) for element in value]
    raise KernelInputError(f"A {type(value).__name__} can't be written down.")


def _set_aside(array: npt.NDArray[Any], arrays: list[bytes]) -> list[Any]:
    dtype = array.dtype.newbyteorder("<")
    stored = dtype.str
    if array.dtype.kind == "i" and array.size:
        low, high = int(array.min()), int(array.max())
        stored = next(
            each
            for each in _INTEGERS
            if np.iinfo(each).min <= low and high <= np.iinfo(each).max
        )
    kept = np.ascontiguousarray(array, dtype=stored)
    planes = kept.reshape(-1).view(np.uint8).reshape(-1, kept.itemsize)
    arrays.append(planes.T.tobytes())
    return [dtype.str, stored, list(array.shape)]


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _layout(kind: Hashable) -> str:
    """Name the fields, and those of the dataclasses within, in their order."""
    assert isinstance(kind, type)
    hints = _hints(kind)
    inner = ",".join(
        ":".join([field.name, *map(_layout, _dataclasses_in(hints[field.name]))])
        for field in fields(kind)
    )
    return f"{kind.__name__}({inner})"


def _dataclasses_in(kind: Any) -> list[type]:
    if is_dataclass(kind) and isinstance(kind, type):
        return [kind]
    return [each for part in get_args(kind) for each in _dataclasses_in(part)]

"""Whole messages on one connection, each with a number: eight bytes, and its length."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

_HEAD = Struct("!QI")


def frame(number: int, message: bytes) -> bytes:
    return _HEAD.pack(number, len(message)) + message


class Frames:
    """Puts messages together again, however their bytes arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def of(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Give the messages that are complete now, each with its number."""
        if self._rest:
            data = self._rest + data
        start, end = 0, len(data)
        while start + _HEAD.size <= end:
            number, length = _HEAD.unpack_from(data, start)
            begin = start + _HEAD.size
            if begin + length > end:
                break
            start = begin + length
            yield number, data[begin:start]
        self._rest = data[start:]

"""Columns of bundles: what several messages write in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from federation.kernels.quantise import quantise


class References:
    """Turns items into numbers: places in a list of names, and ordinals after it.

    Parameters
    ----------
    items : every item that will be referred to.
    ordinals : the ordinal of each item that has one, 1 or more.
    """

    def __init__(self, items: Iterable[str], ordinals: Mapping[str, int]) -> None:
        named = dict.fromkeys(item for item in items if item not in ordinals)
        #: Of items without an ordinal, in the order in which they appear.
        self.names = list(named)
        self._places = {name: place for place, name in enumerate(self.names)}
        self._ordinals = ordinals

    def to(self, item: str) -> int:
        ordinal = self._ordinals.get(item)
        return self._places[item] if ordinal is None else len(self.names) + ordinal

    def all_to(self, items: Iterable[str]) -> list[int]:
        return [self.to(item) for item in items]


def deltas(ascending: Sequence[int]) -> list[int]:
    """Write the first number, then each difference to the one before."""
    differences: list[int] = np.diff(np.array(ascending, np.int64), prepend=0).tolist()
    return differences


def counts(lists: Iterable[Sequence[object]]) -> bytes:
    """Write the length of each list as a byte."""
    return bytes(len(each) for each in lists)


def int8_rows(vectors: NDArray[np.float32]) -> bytes:
    """Write a (n, 384) matrix row by row, each scaled to a largest magnitude of 127."""
    return quantise(vectors).tobytes()


def fractions_as_bytes(fractions: Sequence[float]) -> bytes:
    """Write numbers from 0 to 1 as one byte each: times 255, rounded."""
    scaled = np.clip(np.array(fractions, dtype=np.float64), 0, 1) * 255
    return np.rint(scaled).astype(np.uint8).tobytes()


def fractions_as_uint16(fractions: Sequence[float]) -> bytes:
    """Write numbers from 0 to 1 as two bytes each: times 65535, rounded."""
    scaled = np.clip(np.array(fractions, dtype=np.float64), 0, 1) * 65535
    return np.rint(scaled).astype("<u2").tobytes()

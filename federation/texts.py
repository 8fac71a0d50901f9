"""Texts as they were sent, numbered thousands at a time.

A shard's patterns name the same contents again and again. So texts are looked up as
bytes, all of a block at once, and each becomes a string when it is met first.
"""

from __future__ import annotations

import secrets
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from federation.kernels.compiling import compiled

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]

Number = TypeVar("Number", bound=np.generic)

# Texts that are known before it begins anew.
_CAPACITY = 1 << 17
_LEAST_SLOT_BITS = 10
_LEAST_BYTES = 1 << 14


class TextTable:
    """Numbers for texts, in the order in which they are met.

    A hash table of bytes. It begins anew when it has 131,072 texts: so memory stays
    flat whatever TVs make up.
    """

    names: list[str]
    # The bytes of all texts, text i from bound i to i + 1.
    _bytes: Bytes
    _bounds: Places
    # What each byte of a text is multiplied with, by its place.
    _multipliers: NDArray[np.uint64]
    # The number of a text each, or -1; at least twice as many as there are texts.
    _slots: NDArray[np.int32]
    # Leaves so many bits of a hash as tell slots apart.
    _shift: np.uint64

    def __init__(self) -> None:
        self._multipliers = _odd(0)
        self._begin()

    def numbers(self, data: Bytes, starts: Places, sizes: Places) -> Places:
        """Look texts up, and take in those that are new.

        Parameters
        ----------
        data : ndarray of shape (n_bytes,), uint8
            Where the texts are, in UTF-8.
        starts, sizes : ndarrays of shape (n,), int64
            Where each begins, and how many bytes it has.

        Returns
        -------
        ndarray of shape (n,), int64
            Places in ``names``, which may be another list than before.
        """
        if len(self.names) >= _CAPACITY:
            self._begin()
        self._be_ready_for(int(sizes.max(initial=0)))
        numbers = np.empty(len(starts), dtype=np.int64)
        count = known = len(self.names)
        done = 0
        while True:
            done, count = self._looked_up(data, starts, sizes, numbers, done, count)
            if done == len(starts):
                break
            self._grow(count, int(sizes[done]))
        self._name(known, count)
        return numbers

    def _begin(self) -> None:
        self.names = []
        self._bytes = np.empty(_LEAST_BYTES, dtype=np.uint8)
        self._make_slots(_LEAST_SLOT_BITS)
        self._bounds = np.zeros(len(self._slots) // 2 + 1, dtype=np.int64)

    def _make_slots(self, bits: int) -> None:
        self._slots = np.full(1 << bits, -1, dtype=np.int32)
        self._shift = np.uint64(64 - bits)

    def _be_ready_for(self, size: int) -> None:
        """Have a multiplier for each place of the longest text."""
        missing = size - len(self._multipliers)
        if missing > 0:
            self._multipliers = np.concatenate([self._multipliers, _odd(missing)])

    def _grow(self, count: int, size: int) -> None:
        """Make room for more texts and their bytes, of which one has so many."""
        used = int(self._bounds[count])
        if used + size > len(self._bytes):
            self._bytes = _longer(self._bytes, 2 * (used + size))
            return
        self._make_slots(len(self._slots).bit_length() + 1)
        self._bounds = _longer(self._bounds, len(self._slots) // 2 + 1)
        # The texts take their own slots, in the order that they have.
        bounds = self._bounds[: count + 1]
        starts, sizes = bounds[:-1].copy(), np.diff(bounds)
        self._looked_up(self._bytes, starts, sizes, np.empty_like(sizes), 0, 0)

    def _looked_up(
        self,
        data: Bytes,
        starts: Places,
        sizes: Places,
        numbers: Places,
        first: int,
        count: int,
    ) -> tuple[int, int]:
        return _look_up(
            *(data, starts, sizes, numbers, first),
            *(self._multipliers, self._slots, self._shift),
            *(self._bytes, self._bounds, count),
        )

    def _name(self, first: int, end: int) -> None:
        bounds = self._bounds[first : end + 1]
        sent = self._bytes[bounds[0] : bounds[-1]].tobytes()
        places = (bounds - bounds[0]).tolist()
        self.names += [sent[a:b].decode() for a, b in pairwise(places)]


@compiled
def _look_up(
    data: Bytes,
    starts: Places,
    sizes: Places,
    numbers: Places,
    first: int,
    multipliers: NDArray[np.uint64],
    slots: NDArray[np.int32],
    shift: np.uint64,
    known: Bytes,
    bounds: Places,
    count: int,
) -> tuple[int, int]:
    """Number texts from the first on, until there is no room for a new one.

    Gives the text at which it stopped, and how many are known then. The hash is
    multiply-shift: Dietzfelbinger (1996), Universal hashing and k-wise independent
    random variables via integer arithmetic without primes.
    """
    last_slot = len(slots) - 1
    for text in range(first, len(starts)):
        start, size = starts[text], sizes[text]
        hashed = np.uint64(0)
        for place in range(size):
            hashed += np.uint64(data[start + place]) * multipliers[place]
        slot = np.int64(hashed >> shift)
        while True:
            number = int(slots[slot])
            if number < 0:
                end = bounds[count] + size
                if 2 * (count + 1) > len(slots) or end > len(known):
                    return text, count
                number = count
                known[bounds[count] : end] = data[start : start + size]
                bounds[count + 1] = end
                slots[slot] = count
                count += 1
                break
            begin = bounds[number]
            if bounds[number + 1] - begin == size:
                place = 0
                while place < size and known[begin + place] == data[start + place]:
                    place += 1
                if place == size:
                    break
            slot = (slot + 1) & last_slot
        numbers[text] = number
    return len(starts), count


def _odd(count: int) -> NDArray[np.uint64]:
    """Numbers that TVs don't know: so they can't choose texts that share a slot."""
    return np.frombuffer(secrets.token_bytes(8 * count), np.uint64) | np.uint64(1)


def _longer(array: NDArray[Number], size: int) -> NDArray[Number]:
    """A copy with room for so many values."""
    longer = np.empty(size, dtype=array.dtype)
    longer[: len(array)] = array
    return longer

"""Texts as they were sent, numbered thousands at a time.

A shard's patterns name the same contents again and again. So texts are looked up as
bytes, all of a block at once, and each becomes a string when it is met first.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from federation.kernels.sampling import hash_keys

Places = NDArray[np.int64]
Words = NDArray[np.uint64]

#: Bytes that are compared at a time.
WORD = 8

# Texts that are known at a time. There are at least twice as many slots for them, so
# that few are looked for in more than one or two.
_CAPACITY = 1 << 17
_LEAST_SLOT_BITS = 10


class TextTable:
    """Numbers for texts, in the order in which they are met.

    A hash table whose every step is taken for all texts of a block together. It begins
    anew rather than hold more than 131,072, or what one block needs: so memory stays
    flat whatever TVs make up.
    """

    names: list[str]
    # A column for each word of the texts, and what the word is multiplied with.
    _words: list[NDArray[np.uint64]]
    _multipliers: list[np.uint64]
    _slots: NDArray[np.int32]
    _shift: np.uint64

    def __init__(self) -> None:
        self._begin()

    def numbers(self, words: Words, sizes: Places) -> Places:
        """Look texts up, and take in those that are new.

        Parameters
        ----------
        words : ndarray of shape (n, width), uint64
            The bytes of each text, then zeros. No text has a zero.
        sizes : ndarray of shape (n,), int64
            How many bytes each has.

        Returns
        -------
        ndarray of shape (n,), int64
            Places in ``names``, which may be another list than before.
        """
        while len(self._words) < words.shape[1]:
            self._words.append(np.zeros(len(self.names), dtype=np.uint64))
            self._multipliers.append(_odd())
        numbers, slots = self._found(words)
        missing = np.flatnonzero(numbers < 0)
        if len(missing) == 0:
            return numbers
        first, which = _distinct(words[missing])
        if self.names and len(self.names) + len(first) > _CAPACITY:
            self._begin()
            return self.numbers(words, sizes)
        new = missing[first]
        numbers[missing] = len(self.names) + which
        self._take_in(words[new], slots[new], numbers[new])
        self.names += _decoded(words[new], sizes[new])
        return numbers

    def _begin(self) -> None:
        self.names = []
        self._words = []
        self._multipliers = []
        self._make_slots(_LEAST_SLOT_BITS)

    def _make_slots(self, bits: int) -> None:
        self._slots = np.full(1 << bits, -1, dtype=np.int32)
        self._shift = np.uint64(64 - bits)

    def _found(self, words: Words) -> tuple[Places, Places]:
        """The number of each text, -1 for those not known; the slot that tells it."""
        slots = self._first_slots(words.T)
        numbers = self._slots.take(slots).astype(np.int64)
        others = np.flatnonzero(self._is_other(words, numbers))
        while len(others):
            slots[others] = self._next(slots[others])
            numbers[others] = self._slots[slots[others]]
            others = others[self._is_other(words[others], numbers[others])]
        return numbers, slots

    def _first_slots(self, columns: Iterable[NDArray[np.uint64]]) -> Places:
        """Multiply-shift hashing: zeros at the end change nothing.

        References
        ----------
        Dietzfelbinger (1996), Universal hashing and k-wise independent random variables
        via integer arithmetic without primes.
        """
        products = (
            column * multiplier
            for column, multiplier in zip(columns, self._multipliers, strict=False)
        )
        hashes = reduce(np.add, products)
        slots: Places = (hashes >> self._shift).astype(np.int64)
        return slots

    def _next(self, slots: Places) -> Places:
        return (slots + 1) & (len(self._slots) - 1)

    def _is_other(self, words: Words, numbers: Places) -> NDArray[np.bool_]:
        """Whether the number is that of another text."""
        is_other = np.zeros(len(words), dtype=np.bool_)
        if not self.names:
            return is_other
        for place, known in enumerate(self._words):
            here = words[:, place] if place < words.shape[1] else 0
            is_other |= known.take(numbers, mode="wrap") != here
        is_other &= numbers >= 0
        return is_other

    def _take_in(self, words: Words, slots: Places, numbers: Places) -> None:
        """Give each new text the slot it was looked for in, or the next free one."""
        added = np.zeros((len(self._words), len(words)), dtype=np.uint64)
        added[: words.shape[1]] = words.T
        self._words = [
            np.concatenate(each) for each in zip(self._words, added, strict=True)
        ]
        count = len(self.names) + len(words)
        if 2 * count > len(self._slots):
            self._make_slots(count.bit_length() + 2)
            slots, numbers = self._first_slots(self._words), np.arange(count)
        waiting = np.arange(len(numbers))
        while len(waiting):
            free = waiting[self._slots[slots[waiting]] < 0]
            self._slots[slots[free]] = numbers[free]  # of several the last
            waiting = waiting[self._slots[slots[waiting]] != numbers[waiting]]
            slots[waiting] = self._next(slots[waiting])


def masks(width: int) -> Words:
    """Words that keep the first n bytes of ``width``, for each n."""
    is_kept = np.arange(width) < np.arange(width + 1)[:, np.newaxis]
    return (is_kept * np.uint8(0xFF)).astype(np.uint8).view(np.uint64)


def _odd() -> np.uint64:
    """A number that TVs don't know: so they can't choose texts that share a slot."""
    return np.uint64(secrets.randbits(64) | 1)


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
    width = words.shape[1] * WORD
    padded = np.zeros((len(words), width + 1), dtype=np.uint8)
    padded[:, :width] = np.ascontiguousarray(words).view(np.uint8)
    is_kept = np.arange(width + 1) <= sizes[:, np.newaxis]
    return padded[is_kept].tobytes().decode().split("\0")[:-1]

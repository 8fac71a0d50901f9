"""A sample of all patterns that does not depend on where they are stored.

The sample is the patterns with the smallest keyed hashes of their keys. The smallest k
of a union are the smallest k of the shards' smallest k, so shards sample apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .arrays import Int16Array, Int64Array, UInt64Array, group_starts
from .blocks import EMBEDDING_DIMENSIONS, WORDS_PER_KEY, PatternBlock
from .errors import KernelInputError
from .halfvecs import widened
from .quantise import pattern_weights, to_fixed_point

#: Keyed hashes are 64 bits.
LARGEST_HASH = (1 << 64) - 1


@dataclass(frozen=True)
class PatternSample:
    """Sampled patterns, ordered by hash, then key."""

    #: How many patterns the sample may hold.
    capacity: int
    #: How many patterns and TVs it was taken from.
    n_patterns: int
    n_devices: int
    #: (n,)
    hashes: UInt64Array
    #: Device id and pattern id, two words each. (n, 4)
    keys: UInt64Array
    #: Fixed point, see ``quantise.COMPONENT_ONE``. (n, 384)
    vectors: Int16Array
    #: Capped weights, see ``quantise.pattern_weights``. (n,)
    weights: Int64Array
    #: Enrolment batch of the TV behind each. (n,)
    batches: Int64Array

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def fraction(self) -> float:
        """The share of all patterns that is in the sample; 1 where there are none."""
        return len(self) / self.n_patterns if self.n_patterns else 1.0

    def without(self, batches: Int64Array) -> PatternSample:
        """The sample of the other batches.

        Parameters
        ----------
        batches : ndarray of shape (n,), int64
            Enrolment batches.

        Returns
        -------
        PatternSample
            As if TVs of these batches had nothing; of as many patterns and TVs.
        """
        is_kept = ~np.isin(self.batches, batches)
        return replace(
            self,
            hashes=self.hashes[is_kept],
            keys=self.keys[is_kept],
            vectors=self.vectors[is_kept],
            weights=self.weights[is_kept],
            batches=self.batches[is_kept],
        )

    def device_numbers(self) -> Int64Array:
        """A number for the TV behind each sampled pattern.

        Returns
        -------
        ndarray of shape (n,), int64
            0 up, in the order of the device ids.
        """
        order = np.lexsort((self.keys[:, 1], self.keys[:, 0]))
        devices = self.keys[order, :2]
        is_next = np.zeros(len(order), dtype=np.int64)
        is_next[1:] = np.any(devices[1:] != devices[:-1], axis=1)
        numbers = np.empty(len(order), dtype=np.int64)
        numbers[order] = np.cumsum(is_next)
        return numbers


class PatternSampler:
    """Takes blocks in any order and keeps the patterns with the smallest hashes.

    Parameters
    ----------
    capacity : int
        How many patterns to keep, at least 1.
    seed : int
        64 bits that TVs cannot know, so that none can choose ids that are sampled.
    hash_limit : int, default ``LARGEST_HASH``
        Patterns whose hash is above it are counted and passed over. One limit for all
        shards keeps the samples of many shards small; if ``capacity`` patterns of all
        shards lie below it, the merged sample is the same as without.
    """

    def __init__(
        self, *, capacity: int, seed: int, hash_limit: int = LARGEST_HASH
    ) -> None:
        if capacity < 1:
            raise KernelInputError(f"A sample of {capacity} patterns holds nothing.")
        self._seed = seed
        self._limit = np.uint64(hash_limit)
        self._kept = empty_sample(capacity)
        self._waiting: list[PatternSample] = []
        self._n_waiting = 0
        self._n_patterns = 0
        self._n_devices = 0

    def add(self, block: PatternBlock) -> None:
        """Look at a block.

        Parameters
        ----------
        block : PatternBlock
            Patterns not seen before.
        """
        self._n_patterns += len(block)
        self._n_devices += len(group_starts(block.device_index))
        hashes = hash_keys(block.pattern_keys, seed=self._seed)
        limit = self._limit
        if len(self._kept) == self._kept.capacity:
            # Nothing above the largest kept hash can get in.
            limit = min(limit, self._kept.hashes[-1])
        rows = np.flatnonzero(hashes <= limit)
        if len(rows) == 0:
            return
        self._waiting.append(
            PatternSample(
                capacity=self._kept.capacity,
                n_patterns=0,
                n_devices=0,
                hashes=hashes[rows],
                keys=block.pattern_keys[rows],
                vectors=to_fixed_point(widened(block.embeddings[rows])),
                weights=pattern_weights(block)[rows],
                batches=block.device_batch[block.device_index[rows]],
            )
        )
        self._n_waiting += len(rows)
        if self._n_waiting >= self._kept.capacity:
            self._settle()

    def sample(self) -> PatternSample:
        """What has been kept so far.

        Returns
        -------
        PatternSample
            At most ``capacity`` patterns.
        """
        self._settle()
        kept = self._kept
        return PatternSample(
            capacity=kept.capacity,
            n_patterns=self._n_patterns,
            n_devices=self._n_devices,
            hashes=kept.hashes,
            keys=kept.keys,
            vectors=kept.vectors,
            weights=kept.weights,
            batches=kept.batches,
        )

    def _settle(self) -> None:
        self._kept = merge_samples([self._kept, *self._waiting])
        self._waiting = []
        self._n_waiting = 0


def empty_sample(capacity: int) -> PatternSample:
    """A sample of nothing.

    Parameters
    ----------
    capacity : int
        How many patterns it might have held.

    Returns
    -------
    PatternSample
        Without a row.
    """
    return PatternSample(
        capacity=capacity,
        n_patterns=0,
        n_devices=0,
        hashes=np.zeros(0, dtype=np.uint64),
        keys=np.zeros((0, WORDS_PER_KEY), dtype=np.uint64),
        vectors=np.zeros((0, EMBEDDING_DIMENSIONS), dtype=np.int16),
        weights=np.zeros(0, dtype=np.int64),
        batches=np.zeros(0, dtype=np.int64),
    )


def merge_samples(samples: Sequence[PatternSample]) -> PatternSample:
    """The sample of the union.

    Parameters
    ----------
    samples : sequence of PatternSample
        At least one, all of the same capacity and seed; no pattern in two.

    Returns
    -------
    PatternSample
        Equal to the sample one sampler would have taken of everything.

    Raises
    ------
    KernelInputError
        If there is no sample or capacities differ.
    """
    capacities = {sample.capacity for sample in samples}
    if len(capacities) != 1:
        raise KernelInputError(
            f"Samples to merge need one capacity; found {sorted(capacities)}."
        )
    capacity = capacities.pop()
    hashes = np.concatenate([sample.hashes for sample in samples])
    keys = np.concatenate([sample.keys for sample in samples])
    words = [keys[:, word] for word in reversed(range(WORDS_PER_KEY))]
    order = np.lexsort((*words, hashes))[:capacity]
    return PatternSample(
        capacity=capacity,
        n_patterns=sum(sample.n_patterns for sample in samples),
        n_devices=sum(sample.n_devices for sample in samples),
        hashes=hashes[order],
        keys=keys[order],
        vectors=np.concatenate([sample.vectors for sample in samples])[order],
        weights=np.concatenate([sample.weights for sample in samples])[order],
        batches=np.concatenate([sample.batches for sample in samples])[order],
    )


def hash_keys(keys: UInt64Array, *, seed: int) -> UInt64Array:
    """A keyed hash of each row of words.

    Parameters
    ----------
    keys : ndarray of shape (n, n_words), uint64
        Pattern keys (4 words) or device keys (2 words).
    seed : int
        64 bits that TVs cannot know. Only its low 64 bits count.

    Returns
    -------
    ndarray of shape (n,), uint64
        Spread evenly over all 64-bit numbers.

    Notes
    -----
    ``h = mix(h ^ word)`` over the words, starting from ``mix(seed)``; mix is the
    finaliser of SplitMix64. A fixed function: what it returns never changes with numpy
    or the machine.

    References
    ----------
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators.
    """
    seeded = _mix(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], dtype=np.uint64))
    hashes = np.repeat(seeded, len(keys))
    for word in range(keys.shape[1]):
        hashes = _mix(hashes ^ keys[:, word])
    return hashes


# All that count the names of a block ask for the same ones.
@lru_cache(maxsize=1 << 16)
def hash_text(text: str, *, seed: int) -> int:
    """A keyed hash of a string.

    Parameters
    ----------
    text : str
        Any text.
    seed : int
        64 bits that TVs cannot know.

    Returns
    -------
    int
        64 bits of BLAKE2b.
    """
    key = (seed & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(
        hashlib.blake2b(data, digest_size=8, key=key).digest(), "little"
    )


def _mix(values: UInt64Array) -> UInt64Array:
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))

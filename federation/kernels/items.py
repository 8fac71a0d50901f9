"""What patterns name: contents by id, genres as ``genre:<name>``.

Names come from TVs, so a fleet can be made to send as many different ones as it has
TVs. A census of fixed size finds the names enough TVs may have used; only those are
ever counted by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .arrays import (
    BoolArray,
    Int64Array,
    UInt8Array,
    UInt64Array,
    distinct_pairs,
    group_starts,
)
from .blocks import PatternBlock, device_keys
from .errors import KernelInputError
from .names import NameLists, OfNames
from .sampling import LARGEST_HASH, hash_keys, hash_text

GENRE_PREFIX = "genre:"

#: How many contents of one TV are paired, 8,128 pairs at most. On MovieLens small,
#: links from 32, 64, 128 and 256 of them rank with NDCG@10 0.097, 0.108, 0.115, 0.116.
CONTENTS_PER_TV = 128

# 4 million buckets, 32 MiB: 100 million different junk names put 24 TVs in each.
_N_BUCKETS = 1 << 22

# A TV that names more items has some of them chosen by hash.
_ITEMS_PER_DEVICE = 256

# Where an item's TVs come from is learned from so many of them, as a power of two.
_TRACED_MAGNITUDE = 12

# What was found out about a name is remembered for this many; then it is forgotten.
_REMEMBERED_NAMES = 1 << 18


class Vocabulary:
    """Numbers for names, given out in order of appearance.

    Parameters
    ----------
    allows : callable
        Takes names, tells of each whether it gets a number. Those refused are
        remembered for a while: most names are rare, and looking into each again and
        again takes longer than all the rest.
    """

    def __init__(self, allows: Callable[[Sequence[str]], BoolArray]) -> None:
        self._allows = allows
        self._numbers: dict[str, int] = {}
        self._refused: list[str] = []
        self.names: list[str] = []

    def numbers(self, names: Sequence[str]) -> Int64Array:
        """Look names up.

        Parameters
        ----------
        names : sequence of str
            Any names.

        Returns
        -------
        ndarray of shape (n_names,), int64
            Their numbers; -1 for refused names.
        """
        found = [*map(self._numbers.get, names)]
        if None in found:
            self._take_in([*dict.fromkeys(names)])
            # What is unknown now was refused, and is forgotten already.
            found = [self._numbers.get(name, -1) for name in names]
        return np.array(found, dtype=np.int64)

    def _take_in(self, names: Sequence[str]) -> None:
        new = [name for name in names if name not in self._numbers]
        for name, is_allowed in zip(new, self._allows(new).tolist(), strict=True):
            if is_allowed:
                self._numbers[name] = len(self.names)
                self.names.append(name)
            else:
                self._remember_refused(name)

    def _remember_refused(self, name: str) -> None:
        if len(self._refused) >= _REMEMBERED_NAMES:
            for refused in self._refused:
                del self._numbers[refused]
            self._refused.clear()
        self._refused.append(name)
        self._numbers[name] = -1


@dataclass(frozen=True)
class ItemFilter:
    """Which names enough TVs may have used. Never refuses one that enough have."""

    seed: int
    #: One flag a bucket.
    is_open: BoolArray
    #: How many TVs may have used a name of the bucket, as a power of two, rounded up;
    #: 0 where it isn't open.
    magnitudes: UInt8Array

    #: Contents that are refused however many TVs name them.
    refused: tuple[str, ...] = ()

    def traced_up_to(self, names: Sequence[str], *, prefix: str = "") -> UInt64Array:
        """The largest keyed hash of a TV whose batch is noted for naming an item.

        Parameters
        ----------
        names : sequence of str
            Of contents, or with the prefix ``genre:`` of genres.
        prefix : str, optional
            What the names lack.

        Returns
        -------
        ndarray of shape (n_names,), uint64
            Of all TVs that name an item, about 2,048 to 4,096 are noted, and all where
            there are no more: the same ones wherever they are stored.
        """
        magnitudes = self.magnitudes[self._buckets(names, prefix)].astype(np.int64)
        surplus = np.maximum(magnitudes - _TRACED_MAGNITUDE, 0)
        return np.uint64(LARGEST_HASH) >> surplus.astype(np.uint64)

    def without(self, contents: Sequence[str]) -> ItemFilter:
        """A filter that refuses some contents besides.

        Parameters
        ----------
        contents : sequence of str
            Content ids.

        Returns
        -------
        ItemFilter
            Otherwise the same.
        """
        return replace(self, refused=tuple(sorted(contents)))

    def allows_contents(self, content_ids: Sequence[str]) -> BoolArray:
        """Which contents may have enough TVs behind them.

        Parameters
        ----------
        content_ids : sequence of str
            As TVs sent them.

        Returns
        -------
        ndarray of shape (n_names,), bool
            False also for an id that would be read as a genre.
        """
        refused = set(self.refused)
        is_content = [
            name not in refused and not name.startswith(GENRE_PREFIX)
            for name in content_ids
        ]
        return self.is_open[self._buckets(content_ids)] & np.array(is_content, np.bool_)

    def allows_genres(self, genres: Sequence[str]) -> BoolArray:
        """Which genres may have enough TVs behind them.

        Parameters
        ----------
        genres : sequence of str
            As TVs sent them, without prefix.

        Returns
        -------
        ndarray of shape (n_names,), bool
            False if fewer than enough TVs can have named it.
        """
        return self.is_open[self._buckets(genres, GENRE_PREFIX)]

    def _buckets(self, names: Sequence[str], prefix: str = "") -> Int64Array:
        return _buckets_of(hash_texts(names, seed=self.seed, prefix=prefix))


@dataclass(frozen=True)
class ItemCensus:
    """Upper bounds of how many TVs named each item, in buckets."""

    seed: int
    #: TVs by bucket of the item's hash. (2**22,)
    buckets: Int64Array
    #: Sum over TVs of m (m - 1) / 2, m being the contents a TV named.
    n_content_pairs: int

    def filter(self, *, min_devices: int) -> ItemFilter:
        """The names worth counting.

        Parameters
        ----------
        min_devices : int
            How many distinct TVs must stand behind a name.

        Returns
        -------
        ItemFilter
            Allows every name with that many TVs, and few others.
        """
        is_open = self.buckets >= min_devices
        magnitudes = np.zeros(_N_BUCKETS, dtype=np.uint8)
        magnitudes[is_open] = _magnitudes(self.buckets[is_open])
        return ItemFilter(seed=self.seed, is_open=is_open, magnitudes=magnitudes)


class ItemCounter:
    """Takes blocks in any order and counts TVs by bucket of item.

    Parameters
    ----------
    seed : int
        64 bits that TVs cannot know.
    contents_per_tv : int, default 128
        The cap that pair counting will use, see ``links.plan_pairs``.
    """

    def __init__(self, *, seed: int, contents_per_tv: int = CONTENTS_PER_TV) -> None:
        self._seed = seed
        self._contents_per_tv = contents_per_tv
        self._content_hashes = OfNames(partial(hash_texts, seed=seed))
        self._genre_hashes = OfNames(
            partial(hash_texts, seed=seed, prefix=GENRE_PREFIX)
        )
        self._buckets = np.zeros(_N_BUCKETS, dtype=np.int64)
        self._n_content_pairs = 0

    def add(self, block: PatternBlock) -> None:
        """Count a block.

        Parameters
        ----------
        block : PatternBlock
            TVs not seen before.
        """
        content_devices, content_hashes = _named(
            block, block.content_ids, self._content_hashes
        )
        genre_devices, genre_hashes = _named(block, block.genres, self._genre_hashes)
        per_device = np.bincount(content_devices)
        per_device = np.minimum(per_device, self._contents_per_tv)
        self._n_content_pairs += int((per_device * (per_device - 1) // 2).sum())

        devices = np.concatenate([content_devices, genre_devices])
        hashes = np.concatenate([content_hashes, genre_hashes])
        kept = choose_per_device(
            block, devices, hashes, limit=_ITEMS_PER_DEVICE, seed=self._seed
        )
        np.add.at(self._buckets, _buckets_of(hashes[kept]), 1)

    def census(self) -> ItemCensus:
        """The counts so far.

        Returns
        -------
        ItemCensus
            A copy.
        """
        return ItemCensus(
            seed=self._seed,
            buckets=self._buckets.copy(),
            n_content_pairs=self._n_content_pairs,
        )


def merge_censuses(censuses: Sequence[ItemCensus]) -> ItemCensus:
    """Add censuses up.

    Parameters
    ----------
    censuses : sequence of ItemCensus
        At least one, all with the same seed; no TV in two.

    Returns
    -------
    ItemCensus
        The same whatever the order.

    Raises
    ------
    KernelInputError
        If there is no census or seeds differ.
    """
    seeds = {census.seed for census in censuses}
    if len(seeds) != 1:
        raise KernelInputError(f"Censuses to merge need one seed; found {len(seeds)}.")
    buckets = np.zeros(_N_BUCKETS, dtype=np.int64)
    for census in censuses:
        buckets += census.buckets
    return ItemCensus(
        seed=seeds.pop(),
        buckets=buckets,
        n_content_pairs=sum(census.n_content_pairs for census in censuses),
    )


def _buckets_of(hashes: UInt64Array) -> Int64Array:
    return (hashes & np.uint64(_N_BUCKETS - 1)).astype(np.int64)


def _magnitudes(counts: Int64Array) -> UInt8Array:
    """The powers of two that counts are at most, exactly: no logarithm is."""
    powers = np.int64(1) << np.arange(63, dtype=np.int64)
    return np.searchsorted(powers, counts).astype(np.uint8)


def choose_per_device(
    block: PatternBlock,
    devices: Int64Array,
    hashes: UInt64Array,
    *,
    limit: int,
    seed: int,
) -> Int64Array:
    """At most ``limit`` items a TV, chosen by keyed hash of TV and item.

    Parameters
    ----------
    block : PatternBlock
        Where the TVs are.
    devices : ndarray of shape (n,), int64
        TV of each item, as in ``block.device_index``.
    hashes : ndarray of shape (n,), uint64
        A hash of each item; no (TV, item) twice.
    limit : int
        At least 1.
    seed : int
        64 bits that TVs cannot know.

    Returns
    -------
    ndarray of shape (n_kept,), int64
        Positions kept, ascending. The TV is part of what chooses, so that no item is
        passed over by every TV with many.
    """
    is_kept = np.ones(len(devices), dtype=np.bool_)
    many = np.flatnonzero(np.bincount(devices)[devices] > limit)
    if len(many):
        is_kept[many] = False
        is_kept[many[_chosen(block, devices[many], hashes[many], limit, seed)]] = True
    return np.flatnonzero(is_kept)


def _chosen(
    block: PatternBlock,
    devices: Int64Array,
    hashes: UInt64Array,
    limit: int,
    seed: int,
) -> Int64Array:
    present = block.device_index[group_starts(block.device_index)]
    owner = np.searchsorted(present, devices)
    words = np.column_stack([device_keys(block)[owner], hashes])
    ranks = hash_keys(words, seed=seed)
    order = np.lexsort((hashes, ranks, devices))
    starts = group_starts(devices[order])
    sizes = np.diff(np.r_[starts, len(order)])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    return order[place < limit]


def hash_texts(names: Sequence[str], *, seed: int, prefix: str = "") -> UInt64Array:
    """The hash of each name, see :func:`.hash_text`."""
    return np.array([hash_text(prefix + name, seed=seed) for name in names], np.uint64)


def _named(
    block: PatternBlock, lists: Sequence[Sequence[str]], hashes: OfNames[np.uint64]
) -> tuple[Int64Array, UInt64Array]:
    """Each distinct (TV, item hash) of a block, by TV."""
    named = NameLists.of(lists)
    devices, numbers = distinct_pairs(block.device_index[named.rows()], named.numbers)
    return devices, hashes(named.names)[numbers]

"""Which contents speak for others in the same TVs: the lines of constellations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .arrays import (
    BoolArray,
    Float32Array,
    Float64Array,
    Int64Array,
    distinct_pairs,
    group_starts,
)
from .blocks import PatternBlock, device_keys
from .errors import KernelInputError
from .items import (
    CONTENTS_PER_TV,
    ItemCensus,
    ItemFilter,
    Vocabulary,
    choose_per_device,
    hash_texts,
)
from .names import NameLists, OfNames
from .regression import BackedPairs, regress
from .sampling import hash_keys
from .sparse import CountsBuilder, SparseCounts, merge_counts

#: How many links a content gets.
LINKS_PER_CONTENT = 14

# Pairs counted over the whole fleet before TVs are sampled; 1 GiB if none repeats.
_PAIR_BUDGET = 1 << 26

# Weights are rounded to this: what matters not at all doesn't decide an order.
_WEIGHT_STEP = 1 / (1 << 20)


@dataclass(frozen=True)
class PairPlan:
    """How pairs are counted in a round: the same on every shard."""

    seed: int
    contents_per_tv: int
    #: TVs whose hash is above it are passed over; 2**64 - 1 takes all.
    device_hash_limit: int
    item_filter: ItemFilter


@dataclass(frozen=True)
class PairCounts:
    """Over the sampled TVs: TVs by content and by pair of contents."""

    #: Distinct TVs by (0, content), columns named.
    contents: SparseCounts
    #: Distinct TVs by pair of contents, both named, the alphabetically first as row.
    pairs: SparseCounts


@dataclass(frozen=True)
class Links:
    """Which contents speak for which others, the strongest first.

    Link i leads from ``contents[i]`` to ``related[i]``. Ordered by content, then by
    weight from the highest, then by related content.
    """

    contents: list[str]
    related: list[str]
    #: Above 0, the largest 1. (n,)
    weights: Float32Array
    #: Distinct (sampled) TVs with both. (n,)
    device_counts: Int64Array

    def __len__(self) -> int:
        return len(self.contents)

    def by_content(self) -> dict[str, list[tuple[str, float]]]:
        """The links of each content.

        Returns
        -------
        dict of str to list of (related content, weight)
            In the order of the links.
        """
        table: dict[str, list[tuple[str, float]]] = {}
        for content, related, weight in zip(
            self.contents, self.related, self.weights.tolist(), strict=True
        ):
            table.setdefault(content, []).append((related, weight))
        return table


def plan_pairs(
    census: ItemCensus,
    *,
    min_devices: int,
    contents_per_tv: int = CONTENTS_PER_TV,
    pair_budget: int = _PAIR_BUDGET,
) -> PairPlan:
    """Decide which contents and which TVs are paired.

    Parameters
    ----------
    census : ItemCensus
        Merged over all shards, so that the plan does not depend on sharding.
    min_devices : int
        Distinct TVs that must stand behind a content.
    contents_per_tv : int, default 128
        Contents of one TV that are paired; of more, some are chosen by hash.
    pair_budget : int, optional
        Pairs to be counted over the whole fleet. If there are more, a share of the TVs
        is sampled by hash of the device id.

    Returns
    -------
    PairPlan
        For every shard's :class:`PairCollector`.

    Raises
    ------
    KernelInputError
        If ``contents_per_tv`` is below 2.
    """
    if contents_per_tv < 2:
        raise KernelInputError(f"{contents_per_tv} contents a TV make no pair.")
    largest = (1 << 64) - 1
    limit = largest
    if census.n_content_pairs > pair_budget:
        limit = largest * pair_budget // census.n_content_pairs
    return PairPlan(
        seed=census.seed,
        contents_per_tv=contents_per_tv,
        device_hash_limit=limit,
        item_filter=census.filter(min_devices=min_devices),
    )


class PairCollector:
    """Takes the blocks of one shard in any order and counts pairs of contents.

    Parameters
    ----------
    plan : PairPlan
        The round's plan.
    """

    def __init__(self, plan: PairPlan) -> None:
        self._plan = plan
        self._vocabulary = Vocabulary(plan.item_filter.allows_contents)
        self._numbers = OfNames(self._vocabulary.numbers)
        self._hashes = OfNames(partial(hash_texts, seed=plan.seed))
        self._contents = CountsBuilder()
        self._pairs = CountsBuilder()

    def add(self, block: PatternBlock) -> None:
        """Count a block.

        Parameters
        ----------
        block : PatternBlock
            TVs not seen before.
        """
        devices, contents = self._chosen(block)
        self._contents.add(np.zeros_like(contents), contents)
        for step in range(1, self._plan.contents_per_tv):
            # Each content with the one `step` places after it, in the same TV.
            is_same = devices[step:] == devices[:-step]
            if not is_same.any():
                break
            first, second = contents[:-step][is_same], contents[step:][is_same]
            self._pairs.add(np.minimum(first, second), np.maximum(first, second))

    def counts(self) -> PairCounts:
        """What has been counted; the collector is done then.

        Returns
        -------
        PairCounts
        """
        names = self._vocabulary.names
        return PairCounts(
            contents=self._contents.counts(column_names=names),
            pairs=_alphabetical(self._pairs.counts(), names),
        )

    def _chosen(self, block: PatternBlock) -> tuple[Int64Array, Int64Array]:
        """Distinct (TV, content) of the sampled TVs, by TV, capped."""
        named = NameLists.of(block.content_ids)
        rows = named.rows()
        sampled = np.flatnonzero(self._is_sampled(block)[block.device_index][rows])
        rows, numbers = rows[sampled], named.numbers[sampled]
        numbers = self._numbers(named.names)[numbers]
        is_known = numbers >= 0
        devices, contents = distinct_pairs(
            block.device_index[rows[is_known]], numbers[is_known]
        )
        chosen = choose_per_device(
            block,
            devices,
            self._hashes(self._vocabulary.names)[contents],
            limit=self._plan.contents_per_tv,
            seed=self._plan.seed,
        )
        return devices[chosen], contents[chosen]

    def _is_sampled(self, block: PatternBlock) -> BoolArray:
        is_sampled = np.zeros(block.n_devices, dtype=np.bool_)
        hashes = hash_keys(device_keys(block), seed=self._plan.seed)
        starts = group_starts(block.device_index)
        is_sampled[block.device_index[starts]] = hashes <= np.uint64(
            self._plan.device_hash_limit
        )
        return is_sampled


def merge_pairs(counts: Sequence[PairCounts]) -> PairCounts:
    """Add the counts of shards up.

    Parameters
    ----------
    counts : sequence of PairCounts
        All by the same plan; no TV in two of them.

    Returns
    -------
    PairCounts
        The same whatever the order or the sharding.
    """
    return PairCounts(
        contents=merge_counts([part.contents for part in counts]),
        pairs=merge_counts([part.pairs for part in counts]),
    )


def link_contents(
    counts: PairCounts,
    *,
    min_devices: int,
    per_content: int = LINKS_PER_CONTENT,
) -> Links:
    """Turn pair counts into links.

    Parameters
    ----------
    counts : PairCounts
        Merged over all shards.
    min_devices : int
        Distinct TVs that must stand behind a pair. Where TVs were sampled, that many
        of the sample must: a pair is never published on an extrapolation.
    per_content : int, default 14
        Links a content gets at most.

    Returns
    -------
    Links
        Possibly none.

    Notes
    -----
    What a content's links say is how much it speaks for others, from
    :func:`~federation.kernels.regression.regress`, where that is above zero; a TV adds
    up what its own contents say. The largest weight of all is 1.
    """
    pairs = counts.pairs
    first, second = _content_numbers(counts)
    is_backed = pairs.counts >= min_devices
    edges = regress(
        BackedPairs(
            first=first[is_backed],
            second=second[is_backed],
            together=pairs.counts[is_backed],
            devices=counts.contents.counts,
            pair_total=int(pairs.counts.sum()),
            min_devices=min_devices,
        )
    )
    weights = _as_weights(edges.coefficients)
    order = np.lexsort((edges.targets, -weights, edges.sources))
    order = order[weights[order] > 0]
    starts = group_starts(edges.sources[order])
    sizes = np.diff(np.r_[starts, len(order)])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    order = order[place < per_content]
    names = counts.contents.column_names
    return Links(
        contents=[names[number] for number in edges.sources[order].tolist()],
        related=[names[number] for number in edges.targets[order].tolist()],
        weights=weights[order].astype(np.float32),
        device_counts=edges.together[order],
    )


def _as_weights(coefficients: Float64Array) -> Float64Array:
    largest = coefficients.max(initial=0.0)
    if largest <= 0:
        return np.zeros_like(coefficients)
    shares = np.maximum(coefficients, 0) / largest
    weights: Float64Array = np.rint(shares / _WEIGHT_STEP) * _WEIGHT_STEP
    return weights


def _content_numbers(counts: PairCounts) -> tuple[Int64Array, Int64Array]:
    """Rows and columns of the pairs as numbers of the contents."""
    numbers = {name: n for n, name in enumerate(counts.contents.column_names)}
    row_numbers = [numbers[name] for name in counts.pairs.row_names]
    column_numbers = [numbers[name] for name in counts.pairs.column_names]
    return (
        np.array(row_numbers, dtype=np.int64)[counts.pairs.rows],
        np.array(column_numbers, dtype=np.int64)[counts.pairs.columns],
    )


def _alphabetical(pairs: SparseCounts, names: Sequence[str]) -> SparseCounts:
    """The same pairs, named, each with its alphabetically first content as row."""
    ordered = sorted(range(len(names)), key=names.__getitem__)
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[ordered] = np.arange(len(names))
    first, second = ranks[pairs.rows], ranks[pairs.columns]
    names = [names[number] for number in ordered]
    builder = CountsBuilder()
    builder.add(np.minimum(first, second), np.maximum(first, second), pairs.counts)
    return builder.counts(row_names=names, column_names=names)

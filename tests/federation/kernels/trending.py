"""Fleets whose trends were planted, round after round through the real kernels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from federation.kernels import (
    CellCollector,
    ItemCounter,
    ShardNews,
    find_trends,
    merge_censuses,
    merge_sums,
)
from tests.federation.kernels.planting import SEED, block_of

#: Reporting TVs by region. In the smallest, fewer than five times ``MIN_DEVICES``,
#: nothing can be told from chance, so nothing is planted there.
REGIONS = {"eu": 900, "us": 500, "alps": 200, "fjord": 40}
LARGE_ENOUGH = ("eu", "us", "alps")
MIN_DEVICES = 10
STEADY_ITEMS = 160
#: Rates of what is planted, usually and once it has changed.
NEW = (0.0, 0.25)
RISING = (0.08, 0.30)
FADING = (0.40, 0.12)


@dataclass
class Planted:
    """What changes in which round, by (region, item)."""

    changes_in_round: int = 2
    new: set[tuple[str, str]] = field(default_factory=set)
    rising: set[tuple[str, str]] = field(default_factory=set)
    fading: set[tuple[str, str]] = field(default_factory=set)


def plant(per_kind: int, *, changes_in_round: int = 2) -> Planted:
    """So many new, rising and fading items in every region but the smallest."""
    planted = Planted(changes_in_round=changes_in_round)
    for region in LARGE_ENOUGH:
        for number in range(per_kind):
            planted.new.add((region, f"new-{region}-{number}"))
            planted.rising.add((region, f"rising-{region}-{number}"))
            planted.fading.add((region, f"fading-{region}-{number}"))
    return planted


class World:
    """TVs on shards whose tastes differ, in regions that shards share.

    ``contrast`` is how much the first shard's tastes differ from the others': with 1,
    every other item is watched on that shard alone, and the rest everywhere else.
    """

    def __init__(self, seed, *, n_shards=4, contrast=0.0, planted=None):
        self._rng = np.random.default_rng(seed)
        self.planted = planted or Planted()
        self.items = [f"tt{number:03}" for number in range(STEADY_ITEMS)]
        rates = 0.5 / np.arange(1, STEADY_ITEMS + 1) ** 0.8
        # What half of all TVs always watch leads the list.
        tilts = np.ones((n_shards, STEADY_ITEMS))
        tilts[0, ::2] -= contrast
        tilts[1:, 1::2] -= contrast
        self._rates = np.minimum(rates * tilts, 0.95)
        self.n_shards = n_shards
        # Regions are spread unevenly: the first shard has two fifths of each.
        self.shares = np.r_[0.4, np.full(n_shards - 1, 0.6 / (n_shards - 1))]

    def blocks(self, round_number, *, bulk=()):
        """One block a shard; those in ``bulk`` bring the news of three rounds."""
        blocks = {}
        for shard in range(self.n_shards):
            regions, contents = [], []
            for region, size in REGIONS.items():
                n_tvs = self._rng.poisson(size * self.shares[shard])
                names, rates = self._of(region, shard, round_number)
                if shard in bulk:
                    rates = 1 - (1 - rates) ** 3
                named = self._rng.random((n_tvs, len(names))) < rates
                regions += [region] * n_tvs
                contents += [np.array(names)[row].tolist() for row in named]
            blocks[shard] = block_of(
                self._rng,
                np.ones(len(regions), dtype=np.int64),
                embeddings=np.zeros((len(regions), 384), dtype=np.float32),
                content_ids=contents,
                genres=[[] for _ in regions],
                is_fresh=np.ones(len(regions), dtype=bool),
                device_region=regions,
                device_batch=self._rng.integers(1, 9, len(regions)),
            )
        return blocks

    def _of(self, region, shard, round_number):
        has_changed = round_number >= self.planted.changes_in_round
        names = list(self.items)
        rates = list(self._rates[shard])
        for planted, (before, after) in (
            (self.planted.new, NEW),
            (self.planted.rising, RISING),
            (self.planted.fading, FADING),
        ):
            for where, item in sorted(planted):
                if where == region:
                    names.append(item)
                    rates.append(after if has_changed else before)
        return names, np.array(rates)


class Rounds:
    """Rounds one after the other, each held against those before."""

    def __init__(self, min_devices=MIN_DEVICES, decay=0.95):
        self.history, self.shard_history = {}, {}
        self.trends, self.fading = [], []
        self._min_devices, self._decay = min_devices, decay

    def next(self, blocks, *, missing=()):
        present = {s: block for s, block in blocks.items() if s not in missing}
        counters = {shard: ItemCounter(seed=SEED) for shard in present}
        for shard, block in present.items():
            counters[shard].add(block)
        census = merge_censuses([each.census() for each in counters.values()])
        item_filter = census.filter(min_devices=self._min_devices)
        parts = {}
        for shard, block in present.items():
            collector = CellCollector(
                np.zeros((0, 384), dtype=np.float32), item_filter=item_filter
            )
            collector.add(block)
            parts[shard] = collector.sums()
        self.sums = merge_sums(list(parts.values()))
        self.outcome = find_trends(
            self.sums.region_items,
            self.sums.reporters(),
            history=self.history,
            shard_history=self.shard_history,
            previous=[*self.trends, *self.fading],
            decay=self._decay,
            min_devices=self._min_devices,
            shards={
                shard: ShardNews(part.region_items, part.reporters())
                for shard, part in parts.items()
            },
            absent=tuple(missing),
        )
        self.trends, self.fading = self.outcome.trends, self.outcome.fading
        self.history = self.outcome.history
        self.shard_history = self.outcome.shard_history
        return self

    def risen(self):
        """What TVs are told is new or rising, by region and item."""
        return {
            (trend.region, trend.item)
            for trend in self.trends
            if trend.kind in {"new", "rising"}
        }

    def faded(self):
        return {(trend.region, trend.item) for trend in self.fading}

"""Fleets with attackers among them, and rounds of them without a database."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from federation import merge
from federation.collect import FirstReading, SecondReading
from federation.kernels import (
    CellCollector,
    CellHistory,
    Cells,
    ItemCounter,
    PairCollector,
    PatternBlock,
    PatternSampler,
    no_cell_history,
    no_cells,
)
from federation.merge import Outcome, Plan, Thresholds
from federation.quarantined import NOTHING
from tests.federation.kernels.planting import (
    SEED,
    around,
    block_of,
    concatenate_blocks,
    directions,
    unit,
)

TASTES_PER_TV = 3
#: Cosine of a pattern to the middle of its taste.
SPREAD = 0.8

THRESHOLDS = Thresholds(
    min_quality=0.0,
    min_sources=1,
    min_devices=10,
    min_batches=1,
    trend_decay=0.95,
    max_cells=512,
)


@dataclass(frozen=True)
class Fleet:
    #: Where tastes were planted. (n, 384)
    centres: np.ndarray
    block: PatternBlock
    rng: np.random.Generator

    def tvs(self) -> int:
        return self.block.n_devices


def honest_fleet(seed, *, tvs=400, tastes=10, batches=10):
    """TVs with three tastes each, mixed over the batches 1 to ``batches``."""
    rng = np.random.default_rng(seed)
    # Embeddings of sentence models have a direction in common.
    common = directions(rng, 1)
    centres = unit(0.6 * common + 0.8 * directions(rng, tastes))
    chosen = _tastes(rng, tastes, tvs)
    block = block_of(
        rng,
        [TASTES_PER_TV] * tvs,
        embeddings=around(rng, centres[chosen], cosine=SPREAD),
        device_batch=rng.integers(1, batches + 1, tvs),
        **_words(tvs * TASTES_PER_TV),
    )
    return Fleet(centres, block, rng)


def joined_by(fleet, embeddings, *, batches, **columns):
    """The fleet with TVs of three patterns each that are spread over some batches.

    Each claims all the success and as many samples as a number can hold.
    """
    tvs = len(embeddings) // TASTES_PER_TV
    attackers = block_of(
        fleet.rng,
        [TASTES_PER_TV] * tvs,
        embeddings=embeddings.astype(np.float32),
        success_rate=np.ones(len(embeddings), dtype=np.float32),
        sample_count=np.full(len(embeddings), 2**31 - 1),
        device_batch=fleet.rng.choice(batches, tvs),
        **_words(len(embeddings)),
    )
    return concatenate_blocks([fleet.block, attackers])


def attack(fleet, kind, *, share):
    """The vectors of attackers who are so large a share of all TVs."""
    rng, centres = fleet.rng, fleet.centres
    tvs = round(fleet.tvs() * share / (1 - share))
    chosen = _tastes(rng, len(centres), tvs)
    return _VECTORS[kind](rng, centres, chosen)


def _one_direction(rng, centres, chosen):
    return np.repeat(directions(rng, 1), len(chosen), axis=0)


def _opposite(rng, centres, chosen):
    return -centres[chosen]


def _tilted(rng, centres, chosen):
    """As far from the middle as honest patterns, all to the same side of each taste."""
    return _beside(centres, directions(rng, len(centres)))[chosen]


def _all_tilted_alike(rng, centres, chosen):
    return _beside(centres, directions(rng, 1))[chosen]


def _at_the_border(rng, centres, chosen):
    """Between each taste and the one next to it."""
    cosines = centres @ centres.T - 2 * np.eye(len(centres))
    return unit(0.52 * centres + 0.48 * centres[cosines.argmax(axis=1)])[chosen]


def _all_on_one(rng, centres, chosen):
    """All the weight there is beside one taste."""
    return _beside(centres, directions(rng, len(centres)))[np.zeros_like(chosen)]


def _noise(rng, centres, chosen):
    return directions(rng, len(chosen))


def _honest_but_loud(rng, centres, chosen):
    """Where honest ones are: what they claim of themselves is all that is wrong."""
    return around(rng, centres[chosen], cosine=SPREAD)


_VECTORS = {
    "one direction": _one_direction,
    "opposite": _opposite,
    "tilted": _tilted,
    "all tilted alike": _all_tilted_alike,
    "at the border": _at_the_border,
    "all on one": _all_on_one,
    "noise": _noise,
    "honest but loud": _honest_but_loud,
}
KINDS = tuple(_VECTORS)


@dataclass(frozen=True)
class Past:
    """What a round leaves to the next."""

    cells: Cells
    history: CellHistory


NO_PAST = Past(no_cells(), no_cell_history())


@dataclass(frozen=True)
class Round:
    plan: Plan
    outcome: Outcome

    @property
    def past(self) -> Past:
        return Past(self.outcome.cells, self.outcome.cell_history)

    @property
    def published(self) -> np.ndarray:
        """shape: (n, 384)"""
        return self.outcome.result.embeddings

    @property
    def ids(self) -> list[int]:
        return [pattern.cell for pattern in self.outcome.result.patterns]


def round_of(block, past=NO_PAST, *, quarantined=NOTHING, defended=True):
    """A round over one shard, by the functions that the product runs."""
    sampler = PatternSampler(capacity=1 << 16, seed=SEED)
    counter = ItemCounter(seed=SEED)
    sampler.add(block)
    counter.add(block)
    first = FirstReading(sampler.sample(), counter.census(), 0, 0)
    plan = merge.plan(
        first, previous=past.cells, thresholds=THRESHOLDS, quarantined=quarantined
    )
    collector = CellCollector(
        plan.cells.centroids,
        item_filter=plan.item_filter,
        screen=plan.screen if defended else None,
    )
    pairs = PairCollector(plan.pair_plan)
    collector.add(block)
    pairs.add(block)
    outcome = merge.conclude(
        SecondReading(collector.sums(), pairs.counts()),
        cells=plan.cells,
        screen=plan.screen if defended else None,
        history={},
        previous_trends=(),
        thresholds=THRESHOLDS,
        cell_history=past.history,
        quarantined=quarantined,
    )
    return Round(plan, outcome)


def settled(block, past, *, rounds):
    """The last of some rounds over the same TVs."""
    for _ in range(rounds):
        last = round_of(block, past)
        past = last.past
    return last


def nearest_cosines(of, to):
    """The cosine of each published cell to the nearest of another round."""
    return (of.published @ to.published.T).max(axis=1, initial=-1)


def same_cosines(of, to):
    """The cosine of each published cell to the same cell of another round."""
    _, here, there = np.intersect1d(of.ids, to.ids, return_indices=True)
    return np.einsum("ij,ij->i", of.published[here], to.published[there])


def with_claims(block, *, device, samples):
    """The block in which one TV claims so many samples of each pattern."""
    counts = block.sample_count.copy()
    counts[block.device_index == device] = samples
    return replace(block, sample_count=counts)


def _beside(centres, aside):
    aside = aside - (aside * centres).sum(axis=1, keepdims=True) * centres
    return unit(SPREAD * centres + np.sqrt(1 - SPREAD**2) * unit(aside))


def _tastes(rng, tastes, tvs):
    return np.concatenate(
        [rng.choice(tastes, TASTES_PER_TV, replace=False) for _ in range(tvs)]
    )


def _words(n_rows):
    """Names matter to other tests."""
    return {"genres": [()] * n_rows, "content_ids": [()] * n_rows}

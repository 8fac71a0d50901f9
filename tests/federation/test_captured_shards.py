"""A shard that doesn't tell what it told before: what it gives is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from federation.collect import FirstReading, SecondReading
from federation.history import Previous
from federation.kernels import (
    LARGEST_HASH,
    CellCollector,
    ItemCounter,
    PairCollector,
    PatternSampler,
    no_cell_history,
    no_cells,
)
from federation.models import FederationRound, RoundShard
from federation.parameters import Parameters
from federation.reading import Reading
from federation.report import DRY_RUN
from federation.run import Run
from federation.work import Step
from shards.models import Shard
from tests.federation import attacks
from tests.federation.kernels.planting import SEED, dealt, unit

SHARDS = 6
LIAR = 5


class Given(Run):
    """A round over blocks in memory, one a shard; one shard lies the second time."""

    def __init__(self, blocks, *, lie=None):
        parameters = Parameters(
            thresholds=replace(attacks.THRESHOLDS, min_sources=1),
            shard_ids=tuple(range(len(blocks))),
            seed=SEED,
            hash_limit=LARGEST_HASH,
            fresh_since=None,
            previous_round=None,
        )
        told = FederationRound(status=DRY_RUN, **parameters.written())
        super().__init__(told, lambda *_: None)
        self._blocks, self._lie = blocks, lie
        self._plan: Any = None

    def rows(self):
        return [
            RoundShard(
                round=self.told,
                shard=Shard(id=number, name=f"star {number}", max_devices=1),
            )
            for number in range(len(self._blocks))
        ]

    def enter(self, step):
        """Nobody watches."""

    def write(self, **columns):
        """Nothing is written."""

    def kept(self, name, kind, make, /):
        if kind is Previous:
            return Previous(no_cells(), no_cell_history(), {}, {}, [])
        made = make()
        self._plan = made if name == "plan" else self._plan
        return made

    def read(self, step, kind, /):
        for number, block in enumerate(self._blocks):
            yield (
                number,
                self._first(block)
                if step == Step.SAMPLING
                else (self._second(number, block)),
            )

    def _first(self, block):
        sampler = PatternSampler(capacity=1 << 16, seed=SEED)
        counter = ItemCounter(seed=SEED)
        sampler.add(block)
        counter.add(block)
        return FirstReading(sampler.sample(), counter.census(), 0, 0)

    def _second(self, number, block):
        plan = self._plan
        is_lying = number == LIAR and self._lie is not None
        collector = CellCollector(
            plan.cells.centroids,
            item_filter=plan.item_filter,
            screen=None if is_lying else plan.screen,
        )
        pairs = PairCollector(plan.pair_plan)
        collector.add(self._lie if is_lying else block)
        pairs.add(block)
        return SecondReading(collector.sums(), pairs.counts())


def test_a_shard_that_lies_about_its_sums_is_left_out_and_named():
    fleet = attacks.honest_fleet(3, tvs=480, tastes=6)
    blocks = dealt(fleet.block, SHARDS)
    honest = Reading(Given(blocks)).outcome
    aside = unit(fleet.rng.normal(size=(1, 384)))
    pushed = unit(0.55 * blocks[LIAR].embeddings + 0.83 * aside).astype(np.float32)

    outcome = Reading(
        Given(blocks, lie=replace(blocks[LIAR], embeddings=pushed))
    ).outcome

    assert {shard for _, shard in outcome.defences.left_out_shards} == {LIAR}
    assert honest.defences.left_out_shards == ()
    cosines = np.einsum("ij,ij->i", outcome.result.embeddings, honest.result.embeddings)
    assert cosines.min() >= 0.99
    assert set(outcome.result.source_counts.tolist()) <= {SHARDS - 1, SHARDS}

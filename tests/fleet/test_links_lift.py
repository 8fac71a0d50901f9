"""What links do for households, without a server: a fleet that was planted."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from federation.kernels import (
    CONTENTS_PER_TV,
    ItemCounter,
    PairCollector,
    link_contents,
    plan_pairs,
)
from fleet import trial
from fleet.brain import Brain
from fleet.movielens import Split
from fleet.news import Received
from fleet.synthetic import Plan, SyntheticFleet
from fleet.trial import Contestant, Lift
from tests.federation.kernels.planting import SEED, block_of

MIN_DEVICES = 5
MIN_SUCCESS = 0.8
LEARNED_ROUNDS, HELD_BACK_ROUNDS = range(4), range(4, 6)
PLAN = Plan(seed=11, households=240, clusters=24)


@pytest.fixture(scope="module")
def lift() -> Lift:
    """Of everything but trends and global patterns: there are links alone."""
    fleet = SyntheticFleet(PLAN)
    splits = [split_of(fleet, household) for household in range(PLAN.households)]
    brains = [brain_of(split) for split in splits]
    links = links_of([told_by(brain) for brain in brains])
    contestants = [
        Contestant(split, brain, Received(links=about(told_by(brain), links)))
        for split, brain in zip(splits, brains, strict=True)
    ]
    return trial.grade(contestants, fleet.catalogue)


def split_of(fleet: SyntheticFleet, household: int) -> Split:
    learned = [v for r in LEARNED_ROUNDS for v in fleet.viewings(household, r)]
    later = [v for r in HELD_BACK_ROUNDS for v in fleet.viewings(household, r)]
    known = {viewing.content_id for viewing in learned}
    return Split(
        user_id=household,
        learned=tuple(learned),
        held_out_liked=frozenset(v.content_id for v in later if v.is_liked) - known,
    )


def brain_of(split: Split) -> Brain:
    brain = Brain(household_id=UUID(int=split.user_id))
    brain.watch(split.learned)
    return brain


def told_by(brain: Brain) -> list[list[str]]:
    """The contents of each pattern that a server keeps."""
    kept = [p for p in brain.patterns() if p.success_rate >= MIN_SUCCESS]
    return [list(pattern.content_ids) for pattern in kept]


def links_of(told: list[list[list[str]]]) -> dict[str, list[tuple[str, float]]]:
    block = block_of(
        np.random.default_rng(1),
        [len(patterns) for patterns in told],
        content_ids=[pattern for patterns in told for pattern in patterns],
    )
    counter = ItemCounter(seed=SEED, contents_per_tv=CONTENTS_PER_TV)
    counter.add(block)
    collector = PairCollector(plan_pairs(counter.census(), min_devices=MIN_DEVICES))
    collector.add(block)
    return link_contents(collector.counts(), min_devices=MIN_DEVICES).by_content()


def about(
    told: list[list[str]], links: dict[str, list[tuple[str, float]]]
) -> dict[str, list[tuple[str, float]]]:
    named = {content for pattern in told for content in pattern}
    return {content: links[content] for content in named & links.keys()}


def test_links_serve_households_as_well_as_item_knn_with_everyones_history(lift):
    assert lift.users > 200
    assert lift.ndcg_federated >= lift.ndcg_centralised


def test_links_come_close_to_ease(lift):
    assert lift.ndcg_federated >= 0.85 * lift.ndcg_ease


def test_links_are_worth_more_than_the_own_past(lift):
    assert lift.ndcg_federated > 1.5 * lift.ndcg_alone

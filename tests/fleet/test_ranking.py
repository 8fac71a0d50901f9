"""A TV ranks with its own past and what it received."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from fleet import ranking
from fleet.brain import Brain
from fleet.news import Received
from fleet.ranking import ALONE, FEDERATED, TRENDS_ONLY, Catalogue, Weights
from tests.fleet.patterns import direction, near, viewing

LINKS_ONLY = Weights(links=1, similar=0, trends=0, own=0)
SIMILAR_ONLY = Weights(links=0, similar=1, trends=0, own=0)


@pytest.fixture
def catalogue() -> Catalogue:
    """Contents ``c0``…``c5``, each in a direction of its own."""
    return Catalogue(
        [f"c{i}" for i in range(6)], np.stack([direction(i) for i in range(6)])
    )


@pytest.fixture
def brain() -> Brain:
    """Likes c0 and then, more, c1."""
    brain = Brain(household_id=UUID(int=1))
    brain.watch(
        [
            viewing("c0", direction(0)),
            viewing("c1", direction(1), enjoyment=2),
        ]
    )
    return brain


def ranked(brain, received, catalogue, weights) -> list[str]:
    scores = ranking.scores(brain, received, catalogue, weights)
    return [catalogue.content_ids[row] for row in np.argsort(-scores, kind="stable")]


def test_links_of_own_likes_add_up(brain, catalogue):
    received = Received(
        links={
            "c0": [("c3", 0.3), ("c4", 0.5)],
            "c1": [("c3", 0.3)],
            "c5": [("c2", 9.0)],  # not a like of this household
        }
    )

    scores = ranking.scores(brain, received, catalogue, LINKS_ONLY)

    # c3: 2 · 0.3 (the latest, loved) + exp(-1/30) · 0.3; c4: exp(-1/30) · 0.5
    fading = np.exp(-1 / 30)
    assert scores[3] == 1
    assert scores[4] == pytest.approx(0.5 * fading / (0.6 + 0.3 * fading))
    assert scores[2] == 0


def test_links_out_of_the_catalogue_are_passed_over(brain, catalogue):
    received = Received(links={"c0": [("elsewhere", 1.0), ("c2", 0.1)]})

    assert ranked(brain, received, catalogue, LINKS_ONLY)[0] == "c2"


def test_contents_of_the_nearest_global_pattern_come_first(brain, catalogue):
    received = Received(
        similar_embeddings=np.stack(
            [near(5, stray=0.1, towards=0), near(1, stray=0.1, towards=9)]
        ).astype(np.float16),
        similar_success=np.array([0.9, 0.9], np.float32),
        similar_content_ids=(("c5",), ("c3", "c4")),
    )

    assert ranked(brain, received, catalogue, SIMILAR_ONLY)[:3] == ["c3", "c4", "c5"]


def test_trends_rank_by_score(brain, catalogue):
    received = Received(trends=(("c5", 0.2), ("c4", 0.9), ("genre:crime", 1.0)))

    assert ranked(brain, received, catalogue, TRENDS_ONLY)[:2] == ["c4", "c5"]


def test_alone_ranks_what_resembles_the_own_patterns(brain):
    catalogue = Catalogue(
        ["far", "near"], np.stack([direction(7), near(1, stray=0.2, towards=8)])
    )

    assert ranked(brain, Received(), catalogue, ALONE) == ["near", "far"]


def test_alone_hears_nobody(brain, catalogue):
    received = Received(trends=(("c5", 1.0),), links={"c0": [("c4", 1.0)]})

    heard, deaf = (
        ranking.scores(brain, what, catalogue, ALONE) for what in (received, Received())
    )

    assert (heard == deaf).all()


def test_new_tv_without_a_past_follows_the_trends(catalogue):
    newcomer = Brain(household_id=UUID(int=2))
    received = Received(trends=(("c3", 1.0),))

    assert ranked(newcomer, received, catalogue, FEDERATED)[0] == "c3"


def test_nothing_known_at_all_is_no_preference(catalogue):
    newcomer = Brain(household_id=UUID(int=2))

    scores = ranking.scores(newcomer, Received(), catalogue, FEDERATED)

    assert (scores == 0).all()

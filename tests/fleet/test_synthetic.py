"""What was planted in the synthetic fleet is in it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fleet.synthetic import POPULAR_FRACTION, Plan, SyntheticFleet

HOUSEHOLDS = 120


@pytest.fixture(scope="module")
def fleet() -> SyntheticFleet:
    return SyntheticFleet(
        Plan(
            seed=1,
            households=HOUSEHOLDS,
            regions=("north", "south"),
            trends_start_in_round=2,
        )
    )


def share_watching(fleet, content_id, round_number, region) -> float:
    households = [h for h in range(HOUSEHOLDS) if fleet.region(h) == region]
    watching = [
        any(v.content_id == content_id for v in fleet.viewings(h, round_number))
        for h in households
    ]
    return sum(watching) / len(households)


def test_embeddings_have_unit_length(fleet):
    lengths = np.linalg.norm(fleet.catalogue.embeddings, axis=1)

    assert np.allclose(lengths, 1, atol=1e-6)


def test_contents_are_nearest_to_their_own_cluster(fleet):
    embeddings = np.stack([content.embedding for content in fleet.contents])

    found = fleet.nearest_cluster(embeddings)

    assert found.tolist() == [content.cluster for content in fleet.contents]


def test_clusters_stand_apart_and_are_not_points(fleet):
    embeddings = np.stack([content.embedding for content in fleet.contents])
    clusters = np.array([content.cluster for content in fleet.contents])
    cosines = embeddings @ embeddings.T
    is_same = clusters[:, None] == clusters

    within, between = cosines[is_same].mean(), cosines[~is_same].mean()

    assert 0.7 < within < 0.85
    assert 0.2 < between < 0.35


def test_household_has_several_tastes_and_mostly_watches_those(fleet):
    for household in range(20):
        tastes = fleet.tastes(household)
        clusters = Counter(
            content_cluster(fleet, viewing)
            for round_number in range(10)
            for viewing in fleet.viewings(household, round_number)
        )
        del clusters[-1]  # planted, in no cluster
        of_taste = sum(clusters[taste] for taste in tastes)

        assert 2 <= len(set(tastes)) <= 4
        assert of_taste > 0.8 * clusters.total()


def content_cluster(fleet, viewing) -> int:
    row = fleet.catalogue.row(viewing.content_id)
    cluster: int = fleet.everything[row].cluster
    return cluster


def test_strays_are_mostly_disliked_and_tastes_liked(fleet):
    liked: Counter[bool] = Counter()
    seen: Counter[bool] = Counter()
    for household in range(HOUSEHOLDS):
        tastes = fleet.tastes(household)
        for viewing in fleet.viewings(household, 0):
            cluster = content_cluster(fleet, viewing)
            if cluster >= 0:
                seen[cluster in tastes] += 1
                liked[cluster in tastes] += viewing.is_liked

    assert liked[True] / seen[True] > 0.9
    assert liked[False] / seen[False] < 0.5


def test_few_contents_are_watched_by_most(fleet):
    """Zipf: rank 1 of 40 alone gets 23 % of its cluster's viewings."""
    ranks = Counter(
        int(viewing.content_id.rsplit("-", 1)[1])
        for household in range(HOUSEHOLDS)
        for round_number in range(5)
        for viewing in fleet.viewings(household, round_number)
        if content_cluster(fleet, viewing) >= 0
    )

    assert ranks[0] / ranks.total() == pytest.approx(0.234, abs=0.03)
    assert ranks[0] > 2 * ranks[3] > 2 * ranks[30]


def test_trend_rises_in_its_region_from_its_round_on(fleet):
    [north, _] = fleet.trends

    shares = [
        share_watching(fleet, north.content.content_id, r, "north") for r in range(6)
    ]

    assert shares[:2] == [0, 0]
    assert shares[2] == pytest.approx(0.25, abs=0.15)
    assert shares[5] == pytest.approx(0.7, abs=0.15)


def test_trend_stays_in_its_region(fleet):
    [north, _] = fleet.trends

    assert share_watching(fleet, north.content.content_id, 5, "south") == 0


def test_popular_content_is_popular_from_the_start_and_does_not_rise(fleet):
    shares = [
        share_watching(fleet, fleet.popular.content_id, r, region)
        for r in range(6)
        for region in ("north", "south")
    ]

    assert np.mean(shares) == pytest.approx(POPULAR_FRACTION, abs=0.05)
    assert abs(np.mean(shares[:6]) - np.mean(shares[6:])) < 0.1


def test_same_seed_is_the_same_fleet():
    first, second = (SyntheticFleet(Plan(seed=9)) for _ in range(2))

    assert (first.catalogue.embeddings == second.catalogue.embeddings).all()
    assert [(v.content_id, v.is_liked) for v in first.viewings(5, 3)] == [
        (v.content_id, v.is_liked) for v in second.viewings(5, 3)
    ]


def test_another_seed_is_another_fleet():
    first, second = (SyntheticFleet(Plan(seed=seed)) for seed in (1, 2))

    assert not (first.catalogue.embeddings == second.catalogue.embeddings).any()


def test_content_is_fit_to_be_posted(fleet):
    ids = [content.content_id for content in fleet.everything]
    titles = [content.title for content in fleet.everything]

    assert len(set(ids)) == len(set(titles)) == len(ids)
    assert max(len(content_id) for content_id in ids) <= 64


def test_too_few_clusters_for_a_household_are_refused():
    with pytest.raises(ValueError, match="3 clusters are too few"):
        Plan(clusters=3)

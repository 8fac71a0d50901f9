"""What was planted in a fleet is found again, through the database and back."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone
from sklearn.metrics import adjusted_rand_score

from federation import holding, rounds
from federation.models import Trend
from patterns.models import Pattern
from tests.federation import fleets

pytestmark = [
    pytest.mark.django_db(
        databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
    ),
    pytest.mark.usefixtures("low_thresholds"),
]


def test_planted_tastes_are_recovered():
    fleet = fleets.plant(
        tv_count=250, taste_count=12, patterns_per_tv=3, spread=0.8, seed=21
    )
    fleets.store(fleet, fleets.make_shards(3))
    rounds.run_round()

    patterns = [pattern for tv in fleet.tvs for pattern in tv.patterns]
    found = holding.current("shard_000").assign(
        np.stack([pattern.embedding for pattern in patterns])
    )

    planted = [pattern.taste for pattern in patterns]
    assert adjusted_rand_score(planted, found) >= 0.9


@pytest.fixture
def two_rounds():
    """120 TVs; in the second round a third of the north names a new film.

    "film-0-a" is named by every TV, in both rounds and both regions; "fading" by all in
    the south, in the first round only.
    """
    fleet = fleets.plant(tv_count=120, taste_count=4, seed=13)
    shards = fleets.make_shards(3)
    fleets.store(fleet, shards)
    northern = [tv.id for tv in fleet.tvs if tv.region == "north"]
    risen = set(northern[: len(northern) // 3])

    for round_number in (1, 2):
        for shard in shards:
            patterns = list(Pattern.objects.using(shard.alias))
            for pattern in patterns:
                pattern.content_ids = [*pattern.content_ids[:3], "film-0-a"]
                if round_number == 1 and pattern.device_id not in northern:
                    pattern.content_ids.append("fading")
                if round_number == 2 and pattern.device_id in risen:
                    pattern.content_ids.append("rising")
                pattern.reported_at = timezone.now() + timedelta(seconds=1)
            Pattern.objects.using(shard.alias).bulk_update(
                patterns, ["content_ids", "reported_at"]
            )
        assert rounds.run_round().status == "published"
    return holding.current("shard_000").trends


def test_a_planted_trend_is_first_in_its_region_within_two_rounds(two_rounds):
    item, score = two_rounds["north"][0]

    assert item == "rising"
    assert score > 0.25


def test_what_is_merely_popular_is_not_trending(two_rounds):
    scores = dict(two_rounds["north"])

    assert scores["film-0-a"] <= 0.25 < scores["rising"]


def test_a_trend_of_one_region_is_not_one_of_another(two_rounds):
    assert "rising" not in dict(two_rounds["south"])


def test_a_trend_says_what_is_behind_it(two_rounds):
    trend = Trend.objects.get(version=2, region="north", item="rising")

    assert (trend.rank, trend.kind) == (1, "new")
    assert trend.usual_rate == 0
    assert trend.course == [trend.rate]
    popular = Trend.objects.get(version=2, region="north", item="film-0-a")
    assert (popular.kind, popular.course) == ("steady", [1, 1])
    assert trend.rate == pytest.approx(1 / 3, abs=0.02)
    assert trend.device_count >= 5
    # A third of its TVs on each shard, and as many in each batch: nobody pushes it.
    assert set(trend.shard_ids) <= {0, 1, 2}
    assert set(trend.batch_ids) <= {1, 2, 3}
    assert 1 / 3 <= trend.shard_concentration < 0.5
    assert 1 / 3 <= trend.batch_concentration < 0.6
    assert (trend.carrying_shard, trend.carrying_batch) == (None, None)


def test_what_fades_is_shown_to_operators_and_given_to_no_tv(two_rounds):
    trend = Trend.objects.get(version=2, region="south", item="fading")

    assert (trend.kind, trend.rank, trend.device_count) == ("fading", 1, 0)
    assert trend.usual_rate == 1
    assert "fading" not in dict(two_rounds["south"])


def test_a_shard_left_out_of_two_rounds_makes_no_trend():
    """Half of all TVs are on it, and nobody else names what they name."""
    loner, *others = fleets.make_shards(3)
    fleets.store(fleets.plant(tv_count=60, taste_count=4, seed=3), [loner])
    fleets.store(fleets.plant(tv_count=60, taste_count=4, seed=4), others)
    for pattern in Pattern.objects.using(loner.alias):
        pattern.content_ids = [f"only-there-{name}" for name in pattern.content_ids]
        pattern.save(using=loner.alias)

    for asked in (None, [1, 2], [1, 2], None, None):
        for shard in (loner, *others):
            Pattern.objects.using(shard.alias).update(
                reported_at=timezone.now() + timedelta(seconds=1)
            )
        assert rounds.run_round(shard_ids=asked).status == "published"

    assert set(Trend.objects.values_list("version", flat=True)) >= {2, 3, 4, 5}
    assert set(Trend.objects.values_list("kind", flat=True)) == {"steady"}


def test_contents_of_one_taste_are_linked(two_rounds):
    links = holding.current("shard_000").links

    for content_id in ("film-1-a", "film-2-b", "film-3-c"):
        related = [other for other, _ in links[content_id] if other != "film-0-a"]
        assert related[0][:6] == content_id[:6]

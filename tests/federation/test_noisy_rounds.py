"""Rounds with noise, through the databases: what they publish, and what they cost."""

from __future__ import annotations

import pytest

from federation import merge, parts, privacy, rounds
from federation.collect import SecondReading
from federation.models import FederationRound, GlobalPattern, PrivacySpending
from federation.parameters import thresholds
from federation.replay import replay
from federation.report import RoundReport
from federation.round_manifests import RELEASED
from tests.federation import fleets

pytestmark = pytest.mark.django_db(
    databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
)

#: As little noise as can be asked for: 150 TVs are few.
EPSILON = 100.0


def number(report: RoundReport) -> int:
    assert report.round_id is not None
    return report.round_id


@pytest.fixture(autouse=True)
def _little_noise(settings, low_thresholds):
    settings.DP_EPSILON = EPSILON
    settings.DP_DELTA = 0.01


@pytest.fixture
def fleet():
    """150 TVs that have all four tastes, on three shards."""
    fleet = fleets.plant(tv_count=150, taste_count=4, patterns_per_tv=4, seed=29)
    fleets.store(fleet, fleets.make_shards(3))
    return fleet


def test_a_round_with_noise_publishes_the_planted_tastes(fleet):
    report = rounds.run_round()

    assert report.status == "published"
    assert report.link_count > 0
    found = list(GlobalPattern.objects.all())
    for taste in fleet.tastes:
        assert max(row.embedding @ taste.direction for row in found) > 0.8
    # Below what noise can hide nothing is shown.
    noise = merge.noise_plan(thresholds())
    assert noise is not None
    least = noise.least_count
    assert min(row.device_count for row in found) >= least > 5
    # Noise can't be drawn again: whoever goes on with the round goes on with this.
    released = parts.load(SecondReading, number(report), RELEASED)
    assert released is not None
    assert released.sums.devices.max() >= least
    assert replay(number(report)).is_reproduced


def test_a_round_without_noise_draws_and_costs_none(fleet, settings):
    settings.DP_EPSILON = None
    settings.MIN_DEVICES_PER_PATTERN = 80

    report = rounds.run_round()

    assert parts.load(SecondReading, number(report), RELEASED) is None
    assert not PrivacySpending.objects.exists()
    # What is held back is written down all the same.
    told = FederationRound.objects.get(pk=number(report))
    assert told.suppressed_trend_count > 0
    assert told.suppressed_link_count > 0
    assert report.as_json()["links_suppressed"] == told.suppressed_link_count


def test_the_ledger_adds_rounds_up_until_the_budget_is_spent(fleet, settings):
    first = rounds.run_round()

    spending = PrivacySpending.objects.get()
    assert (spending.pk, spending.epsilon) == (number(first), EPSILON)
    assert {row["name"] for row in spending.mechanisms} == {
        *("sources", "vectors", "weights", "deficits", "counts")
    }
    assert sum(row["rho"] for row in spending.mechanisms) == pytest.approx(spending.rho)
    assert privacy.spent().epsilon == pytest.approx(EPSILON, rel=1e-6)

    second = rounds.run_round()

    # The same TVs, and other noise.
    assert second.checksum != first.checksum
    spent = privacy.spent()
    assert spent.rounds == 2
    assert EPSILON < spent.epsilon < 2 * EPSILON
    assert spent.delta <= 2 * 0.01

    settings.DP_BUDGET_EPSILON = spent.epsilon * 1.01
    third = rounds.run_round()

    assert third.status == "abandoned"
    assert "DP_BUDGET_EPSILON" in third.problem
    assert third.global_version == second.global_version
    assert PrivacySpending.objects.count() == 2


def test_a_dry_run_costs_nothing(fleet):
    report = rounds.run_round(dry_run=True)

    assert report.pattern_count > 0
    assert not PrivacySpending.objects.exists()

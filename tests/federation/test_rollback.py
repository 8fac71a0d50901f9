"""An earlier result again, under a new version, everywhere."""

from __future__ import annotations

import pytest

from federation import history, lease, rollback, rounds, selectors
from federation.exceptions import (
    NothingToRollBack,
    RoundAlreadyRunning,
    ThresholdsWereRaised,
    VersionNotKept,
)
from federation.models import FederationRound, Publication, RoundShard
from tests.federation import fleets

pytestmark = [
    pytest.mark.django_db(
        databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
    ),
    pytest.mark.usefixtures("low_thresholds"),
]

ALIASES = ["default", "shard_000", "shard_001", "shard_002"]


@pytest.fixture
def checksums():
    """Three rounds, each with more TVs than the one before; their checksums."""
    shards = fleets.make_shards(3)
    checksums = {}
    for version in (1, 2, 3):
        fleets.store(fleets.plant(tv_count=45, seed=version), shards)
        checksums[version] = rounds.run_round().checksum
    assert len(set(checksums.values())) == 3
    return checksums


def test_the_version_before_goes_out_again_everywhere(checksums):
    report = rollback.republish()

    assert (report.status, report.global_version) == ("published", 4)
    for alias in ALIASES:
        assert selectors.pointer(alias) == (4, checksums[2])


def test_rolling_back_again_goes_further_back(checksums):
    rollback.republish()

    report = rollback.republish()

    assert (report.global_version, report.checksum) == (5, checksums[1])


def test_any_kept_version_may_be_chosen(checksums):
    report = rollback.republish(version=1)

    assert (report.global_version, report.checksum) == (4, checksums[1])


def test_a_publication_says_which_version_it_repeats(checksums):
    rollback.republish()

    for alias in ALIASES:
        repeated = Publication.objects.using(alias).get(version=4)
        assert repeated.rollback_of == 2
        assert repeated.is_current


def test_a_roll_back_is_written_down_as_a_round(checksums):
    report = rollback.republish()

    told = FederationRound.objects.get(global_version=report.global_version)
    assert (told.status, told.rollback_of) == ("published", 2)
    statuses = RoundShard.objects.filter(round=told).values_list("status", flat=True)
    assert set(statuses) == {"left_out"}


def test_the_next_round_goes_on_from_the_last_that_read(checksums):
    cells = history.last_cells()
    last = selectors.last_collecting_round()

    rollback.republish()

    assert selectors.last_collecting_round() == last
    assert history.last_cells().ids.tolist() == cells.ids.tolist()
    assert rounds.run_round().global_version == 5


def test_nothing_is_rolled_back_while_a_round_runs(checksums):
    lease.open_round()

    with pytest.raises(RoundAlreadyRunning):
        rollback.republish()

    assert selectors.current_version() == 3


def test_a_version_that_is_not_kept_is_refused(checksums):
    with pytest.raises(
        VersionNotKept, match="Version 7 isn't kept; there are: 3, 2, 1"
    ):
        rollback.republish(version=7)


def test_before_the_first_publication_there_is_nothing_to_repeat():
    with pytest.raises(NothingToRollBack):
        rollback.republish()


@pytest.mark.parametrize("setting", ["MIN_DEVICES_PER_PATTERN", "MIN_SOURCE_COUNT"])
def test_what_has_too_little_behind_it_now_does_not_go_out_again(
    checksums, settings, setting
):
    rollback.republish(version=1)  # itself a version to go back to
    setattr(settings, setting, getattr(settings, setting) + 1)

    for version in (1, 4):
        with pytest.raises(ThresholdsWereRaised, match=f"made with {setting}="):
            rollback.republish(version=version)

    assert selectors.current_version() == 4
    assert selectors.running_round() is None

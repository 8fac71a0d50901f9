"""The same TVs give the same result, bit by bit, wherever they are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federation import rounds
from federation.models import GlobalPattern, Link, Trend
from tests.federation import fleets

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

FLEET = fleets.plant(tv_count=120, taste_count=6, patterns_per_tv=3, seed=11)


@pytest.fixture(autouse=True)
def _thresholds(settings):
    settings.MIN_DEVICES_PER_PATTERN = 5
    settings.MIN_SOURCE_COUNT = 1  # so that one shard alone may publish


def checksums_of(fleet: fleets.Fleet, *, shard_count: int) -> list[str]:
    """Spread the fleet over new shards, run two rounds, tell both checksums."""
    fleets.wipe()
    fleets.store(fleet, fleets.make_shards(shard_count))
    reports = [rounds.run_round(), rounds.run_round()]
    assert [report.status for report in reports] == ["published", "published"]
    assert reports[0].pattern_count >= 6
    return [report.checksum for report in reports]


def test_any_sharding_gives_the_same_checksums():
    of_one, of_three, of_ten = (
        checksums_of(FLEET, shard_count=count) for count in (1, 3, 10)
    )

    assert of_one == of_three == of_ten


def test_any_order_of_arrival_gives_the_same_checksums():
    order = np.random.default_rng(5).permutation(len(FLEET.tvs))
    shuffled = replace(FLEET, tvs=tuple(FLEET.tvs[place] for place in order))

    assert checksums_of(FLEET, shard_count=3) == checksums_of(shuffled, shard_count=3)


def test_one_tv_less_gives_another_checksum():
    without = replace(FLEET, tvs=FLEET.tvs[1:])

    assert checksums_of(FLEET, shard_count=3) != checksums_of(without, shard_count=3)


def test_every_shard_holds_the_same_rows():
    fleets.store(FLEET, fleets.make_shards(3))

    rounds.run_round()

    for model in (GlobalPattern, Trend, Link):
        contents = [
            [
                {**row, "id": None, "embedding": str(row.get("embedding"))}
                for row in model.objects.using(alias).order_by("id").values()
            ]
            for alias in ("default", "shard_000", "shard_001", "shard_002")
        ]
        assert contents[0]
        assert contents[0] == contents[1] == contents[2] == contents[3]

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shards import placement
from shards.models import Shard

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def shard(shard_id: int, **facts) -> Shard:
    return Shard(**({"id": shard_id, "max_devices": 100} | facts))


def ids(shards: list[Shard], region: str = "global") -> list[int]:
    return [s.id for s in placement.candidates(shards, region=region, now=NOW)]


def test_the_roomiest_comes_first():
    shards = [
        shard(0, device_count=40),  # 60 places
        shard(1, max_devices=1_000, device_count=930),  # 70
        shard(2, device_count=50),  # 50
    ]

    assert ids(shards) == [1, 0, 2]


def test_equally_roomy_shards_keep_their_order():
    assert ids([shard(2), shard(0), shard(1)]) == [0, 1, 2]


def test_full_and_draining_shards_take_nobody():
    shards = [
        shard(0, device_count=100),
        shard(1, device_count=120),  # its capacity was lowered
        shard(2, status=Shard.Status.DRAINING),
    ]

    assert ids(shards) == []


def test_a_region_with_a_shard_of_its_own_uses_no_other():
    shards = [shard(0), shard(1, region="eu"), shard(2, region="us")]

    assert ids(shards, region="eu") == [1]


def test_a_region_without_a_shard_goes_to_the_global_ones():
    shards = [shard(0), shard(1, region="eu")]

    assert ids(shards, region="jp") == [0]


def test_a_full_region_does_not_spill_over():
    """Its TVs' data would leave the region."""
    shards = [shard(0), shard(1, region="eu", device_count=100)]

    assert ids(shards, region="eu") == []


def test_a_shard_just_seen_down_is_tried_last():
    shards = [shard(0, observed_at=NOW), shard(1, device_count=99)]

    assert ids(shards) == [1, 0]


def test_an_old_observation_is_not_believed():
    """The observer may have stopped right after it."""
    seen_at = NOW - timedelta(minutes=2)
    shards = [shard(0, observed_at=seen_at), shard(1, device_count=99)]

    assert ids(shards) == [0, 1]

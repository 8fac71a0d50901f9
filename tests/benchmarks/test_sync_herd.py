"""What a fleet does to its shard after an outage, in small."""

from __future__ import annotations

from benchmarks.sync import herd

TVS, CAPACITY = 40_000, 50


def test_after_an_outage_no_more_come_than_can_be_answered():
    found = herd.after_an_outage(tvs=TVS, capacity=CAPACITY, minutes=30)

    assert max(found.by_capacity[1:]) <= herd.LIMIT


def test_tvs_that_all_call_at_once_come_back_one_after_the_other():
    found = herd.all_at_once(tvs=TVS, capacity=CAPACITY, minutes=30)

    assert found.by_capacity[0] > 10
    assert max(found.by_capacity[1:]) <= herd.LIMIT


def test_every_tv_is_still_there():
    found = herd.all_at_once(tvs=TVS, capacity=CAPACITY, minutes=5)

    assert found.due.sum() == TVS

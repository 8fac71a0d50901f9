"""When TVs are told to come back: never more of them than can be answered."""

from __future__ import annotations

from random import Random

import pytest

from sync.pacing import FILL, HORIZON_SECONDS, Pacing

#: Syncs a second that the process of these tests can answer.
CAPACITY = 40


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pacing(clock) -> Pacing:
    return Pacing(clock, Random(1))


def busy(pacing: Pacing, clock: Clock, *, seconds: int, served: int = CAPACITY) -> None:
    """Have more to do than can be done for some time."""
    for _ in range(seconds):
        for _ in range(served):
            pacing.next_sync_seconds(1)
        for _ in range(served):
            pacing.retry_after_seconds()
        clock.now += 1


def test_an_idle_process_spreads_tvs_over_the_first_half(pacing):
    told = [pacing.next_sync_seconds(0) for _ in range(2_000)]

    assert min(told) >= 300
    assert max(told) <= 600
    assert len(set(told)) > 250


def test_a_busy_process_spreads_tvs_over_the_second_half(pacing):
    told = [pacing.next_sync_seconds(1) for _ in range(2_000)]

    assert min(told) >= 600
    assert max(told) <= 900


def test_a_few_that_are_sent_away_come_back_within_a_minute(pacing):
    told = [pacing.retry_after_seconds() for _ in range(200)]

    assert min(told) >= 10
    assert max(told) <= 60
    assert len(set(told)) > 40


def test_what_a_process_can_answer_is_seen_when_it_has_too_much_to_do(pacing, clock):
    busy(pacing, clock, seconds=60)

    assert pacing.capacity == pytest.approx(CAPACITY, rel=0.05)


def test_a_short_burst_says_nothing_about_what_can_be_answered(pacing, clock):
    busy(pacing, clock, seconds=60)
    clock.now += 60
    pacing.next_sync_seconds(0)
    busy(pacing, clock, seconds=1, served=1)
    clock.now += 60

    pacing.next_sync_seconds(0)

    assert pacing.capacity == pytest.approx(CAPACITY, rel=0.05)


def test_no_more_places_are_given_away_than_can_be_answered(pacing, clock):
    pacing.capacity = CAPACITY
    told = [pacing.retry_after_seconds() for _ in range(60_000)]

    arrivals = [sum(at <= t < at + 60 for t in told) for at in range(60, 1_200, 60)]

    assert max(arrivals) <= 1.05 * CAPACITY * FILL * 60
    assert min(arrivals) >= 0.95 * CAPACITY * FILL * 60
    # Those that don't come soon come in their turn, none later than it takes.
    assert max(told) <= 1.1 * len(told) / (CAPACITY * FILL)


def test_those_that_were_answered_and_sent_away_share_the_places(pacing, clock):
    pacing.capacity = CAPACITY
    sent_away = [pacing.retry_after_seconds() for _ in range(40_000)]
    answered = [pacing.next_sync_seconds(1) for _ in range(10_000)]

    both = sent_away + answered
    arrivals = [sum(at <= t < at + 60 for t in both) for at in range(60, 1_200, 60)]

    assert max(arrivals) <= 1.05 * CAPACITY * FILL * 60


def test_nobody_is_asked_to_stay_away_for_longer_than_two_hours(pacing):
    pacing.capacity = 0.1

    told = [pacing.retry_after_seconds() for _ in range(5_000)]

    assert max(told) <= HORIZON_SECONDS
    # Where all places are taken, they are spread over all the time there is.
    assert sorted(told)[2_500] == pytest.approx(HORIZON_SECONDS / 2, rel=0.1)


def test_places_that_have_passed_are_free_again(pacing, clock):
    pacing.capacity = 0.1
    for _ in range(5_000):
        pacing.retry_after_seconds()

    clock.now += 2 * HORIZON_SECONDS

    assert pacing.retry_after_seconds() <= 60


def test_tvs_that_come_unasked_leave_fewer_places(pacing, clock):
    pacing.capacity = CAPACITY
    for _ in range(120):
        for _ in range(CAPACITY // 2):
            pacing.next_sync_seconds(0)
        clock.now += 1

    told = [pacing.retry_after_seconds() for _ in range(10_000)]

    # Half of what can be answered comes without a place.
    second_minute = sum(60 <= t < 120 for t in told)
    assert second_minute <= 0.35 * CAPACITY * 60

"""Waits are random, grow to a cap, and never undercut what the server asks."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
import time_machine

from fleet.backoff import LONGEST_RETRY_AFTER_SECONDS, Backoff, retry_after_seconds

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def waits(*, failures: int, retry_after: str | None = None) -> list[float]:
    backoff = Backoff(base_seconds=1, cap_seconds=60, rng=Random(0))
    return [
        backoff.wait_seconds(failures, retry_after=retry_after) for _ in range(2_000)
    ]


@pytest.mark.parametrize(
    ("failures", "longest"),
    [
        (1, 1),
        (2, 2),
        (5, 16),
        (7, 60),  # 64, capped
        (500, 60),
    ],
)
def test_waits_fill_their_whole_range(failures, longest):
    found = waits(failures=failures)

    assert 0 <= min(found) < 0.01 * longest
    assert 0.99 * longest < max(found) <= longest


def test_asked_wait_is_never_undercut_and_is_spread():
    found = waits(failures=1, retry_after="100")

    assert 100 <= min(found) < 100.5
    assert 124 < max(found) <= 125


def test_a_long_asked_wait_is_spread_by_half_a_minute():
    found = waits(failures=1, retry_after="3600")

    assert 3600 <= min(found) < 3600.5
    assert 3629 < max(found) <= 3630


def test_those_that_gave_up_come_back_at_their_pace_and_not_together():
    backoff = Backoff(rng=Random(0))

    found = [backoff.next_sync_seconds(600) for _ in range(2_000)]

    assert 600 <= min(found) < 606
    assert 1194 < max(found) <= 1200


def test_short_asked_wait_is_spread_as_well():
    found = waits(failures=1, retry_after="0")

    assert min(found) >= 0
    assert 0.9 < max(found) <= 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 7 ", 7),
        ("soon", None),
        ("-5", None),
        ("Mon, 05 Jan 2026 12:00:30 GMT", 30),
        ("Mon, 05 Jan 2026 11:00:00 GMT", 0),  # has passed
        ("99999999999", LONGEST_RETRY_AFTER_SECONDS),
        ("Mon, 05 Jan 2099 12:00:00 GMT", LONGEST_RETRY_AFTER_SECONDS),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    with time_machine.travel(NOON, tick=False):
        assert retry_after_seconds(header) == seconds

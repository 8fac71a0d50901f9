"""Who gets a place, who waits for one, and who is sent away at once."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from sync import load
from tests.running import wait_for

LONG = 600.0


@pytest.fixture(autouse=True)
def _idle(monkeypatch):
    monkeypatch.setattr(load, "_in_flight", 0)
    monkeypatch.setattr(load, "_full_since", None)
    monkeypatch.setattr(load, "PATIENCE_SECONDS", LONG)


@pytest.fixture
def one_place(settings):
    settings.REQUEST_THREADS = 3
    assert load.in_flight_limit() == 1


class Caller(threading.Thread):
    """Takes a place, says so in a list, and keeps it until it is told."""

    def __init__(self, name: str, arrivals: list[str]) -> None:
        super().__init__(name=name, daemon=True)
        self.arrivals = arrivals
        self.may_leave = threading.Event()

    def run(self) -> None:
        with load.admitted():
            self.arrivals.append(self.name)
            self.may_leave.wait(LONG)

    def leave(self) -> None:
        self.may_leave.set()
        self.join(LONG)


@pytest.mark.parametrize(("threads", "places"), [(1, 1), (4, 2), (16, 12), (64, 48)])
def test_a_quarter_of_the_threads_is_kept_for_others(settings, threads, places):
    settings.REQUEST_THREADS = threads

    assert load.in_flight_limit() == places


def test_who_came_first_is_next(one_place):
    arrivals: list[str] = []
    callers = [Caller(name, arrivals) for name in ("first", "second", "third")]
    for waiting, caller in enumerate(callers):
        caller.start()
        wait_for(lambda: arrivals)
        wait_for(partial(are_waiting, waiting))

    for place, caller in enumerate(callers, start=1):
        wait_for(partial(have_come, arrivals, place))
        caller.leave()

    assert arrivals == ["first", "second", "third"]
    assert load.used_fraction() == 0


def are_waiting(count: int) -> bool:
    return len(load._waiting) == count


def have_come(arrivals: list[str], count: int) -> bool:
    return len(arrivals) == count


def test_who_waits_too_long_is_sent_away(one_place, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE_SECONDS", 0.05)
    assert load.take_place()

    assert not load.take_place()

    assert not load._waiting
    load.give_place_back()
    assert load.take_place()
    load.give_place_back()


def test_after_a_burst_nobody_waits(one_place, monkeypatch):
    """All places are taken for longer than a burst takes: this is too much to do."""
    assert load.take_place()
    monkeypatch.setattr(load, "_full_since", time.monotonic() - LONG)

    assert not load.take_place()

    load.give_place_back()


def test_after_a_rest_a_burst_waits_again(one_place, monkeypatch):
    assert load.take_place()
    monkeypatch.setattr(load, "_full_since", time.monotonic() - LONG)
    load.give_place_back()
    arrivals: list[str] = []
    assert load.take_place()

    late = Caller("late", arrivals)
    late.start()
    wait_for(lambda: len(load._waiting) == 1)
    load.give_place_back()
    wait_for(lambda: arrivals == ["late"])
    late.leave()

    assert load.used_fraction() == 0

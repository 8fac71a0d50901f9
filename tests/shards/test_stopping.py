"""A signal may come at any moment, also while the one before is handled."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from shards import stopping
from shards.stopping import StopFlag


@pytest.fixture
def flag():
    """Set by SIGUSR1 for the time of a test."""
    flag = StopFlag()
    before = signal.signal(signal.SIGUSR1, lambda *_: flag.set())
    yield flag
    signal.signal(signal.SIGUSR1, before)


def test_waiting_ends_when_signals_come(flag):
    timers = [
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGUSR1]) for _ in range(3)
    ]
    for timer in timers:
        timer.start()
    begun = time.monotonic()

    flag.wait(300)

    # The last signals may be on their way still, and no other test wants them.
    for timer in timers:
        timer.join()
    assert flag.is_set()
    assert time.monotonic() - begun < 60


def test_waiting_ends_when_the_time_is_over(flag):
    begun = time.monotonic()

    flag.wait(0.2)

    assert not flag.is_set()
    assert 0.2 <= time.monotonic() - begun < 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_twice_stops_once(number):
    before = signal.getsignal(number)

    with stopping.requested() as flag:
        was_set = flag.is_set()
        for _ in range(2):
            signal.raise_signal(number)

        assert flag.is_set()
    assert not was_set
    assert signal.getsignal(number) is before

"""How busy this process is: when to shed a request, and when TVs come back.

A burst waits its turn, in the server's queue and then a moment here. What has waited
too long is shed before its body is read, so that a process with too much to do spends
next to nothing on what it can't do.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from sync.exceptions import Overloaded

#: Threads of a process that no sync takes, so that probes and operators find one.
SPARE_THREADS = 2

#: How long a sync waits for one of the others to be done.
PATIENCE_SECONDS = 1.0

#: A TV comes back within this time; an idle process uses the first half, a busy one
#: the second.
NEXT_SYNC_SECONDS = (300, 900)

#: Spread, so that those who were sent away don't come back together.
RETRY_AFTER_SECONDS = (10, 60)

_one_is_done = threading.Condition()
_in_flight = 0


def in_flight_limit() -> int:
    """How many syncs this process answers at once."""
    return max(1, settings.REQUEST_THREADS - SPARE_THREADS)


@contextmanager
def admitted() -> Iterator[None]:
    """Count a request while it is answered; refuse it if there are too many."""
    global _in_flight
    with _one_is_done:
        if not _one_is_done.wait_for(_has_place, timeout=PATIENCE_SECONDS):
            raise overloaded()
        _in_flight += 1
    try:
        yield
    finally:
        with _one_is_done:
            _in_flight -= 1
            _one_is_done.notify()


def overloaded() -> Overloaded:
    return Overloaded(retry_after_seconds=random.randint(*RETRY_AFTER_SECONDS))


def _has_place() -> bool:
    return _in_flight < in_flight_limit()


def used_fraction() -> float:
    """Share of this process's places taken, the caller's own included; 0 to 1."""
    return min(1.0, _in_flight / in_flight_limit())


def next_sync_seconds() -> int:
    """Choose when a TV comes back: spread, and later the busier the process is."""
    earliest, latest = NEXT_SYNC_SECONDS
    half = (latest - earliest) / 2
    start = earliest + half * used_fraction()
    return round(random.uniform(start, start + half))

"""When TVs come back to this process: each is given a place in the time to come.

A process that has had enough to do knows how many syncs a second it can answer, and
gives away no more places than that, less those taken by TVs that come unasked. So the
interval of the TVs follows from their number, and after an outage they come back one
after the other, however many were sent away at once. A process that never had too much
to do just spreads them.

The calendar is one process's own: TVs meet each process with the same chance, so what
all of them give away adds up.
"""

from __future__ import annotations

import random
import threading
import time
from array import array
from collections.abc import Callable

#: No TV is asked to stay away for longer.
HORIZON_SECONDS = 7200

#: A TV comes back within this time; an idle process uses the first half, a busy one
#: the second. Later only if more TVs come than it can answer.
NEXT_SYNC_SECONDS = (300, 900)

#: Of those who are sent away; later if there are too many of them.
RETRY_AFTER_SECONDS = (10, 60)

#: How finely places are counted.
SLOT_SECONDS = 10

#: Share of the capacity that is given away, or comes unasked.
FILL = 0.75

#: Share that is given away however many come unasked.
LEAST_FILL = 0.1

#: Syncs a second that are given away before it is known how many can be answered.
GUESSED_CAPACITY = 100.0

#: How long capacity is measured at a time, in as many parts; a burst that is over
#: before most of them says nothing about it.
MEASURED_SECONDS = 5.0
PARTS = 5
FULL_PARTS = 4

#: Weights of the last measurement beside those before, of capacity and of those who
#: come unasked.
CAPACITY_WEIGHT = 0.3
UNASKED_WEIGHT = 0.1

_SLOTS = HORIZON_SECONDS // SLOT_SECONDS + 2


class Pacing:
    """For any number of threads. ``clock`` gives seconds, as ``time.monotonic``."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        #: Syncs a second; None until there was more to do than could be done.
        self.capacity: float | None = None
        # Places given away: a ring, whose slots are cleared when they have passed.
        self._taken = array("L", bytes(8 * _SLOTS))
        self._present = self._slot_of(clock())
        #: By where a search begins: up to where it has found everything full.
        self._frontiers: dict[float, int] = {}
        self._measured_since = clock()
        self._served = self._turned_away = 0
        #: TVs a second for whom no place was kept.
        self._unasked = 0.0
        self._full_parts: set[int] = set()

    def next_sync_seconds(self, used_fraction: float) -> int:
        """Choose when a TV that was answered comes back; 300 to 7200.

        ``used_fraction`` is how busy the process is, 0 to 1.
        """
        earliest, latest = NEXT_SYNC_SECONDS
        half = (latest - earliest) / 2
        start = earliest + half * used_fraction
        with self._lock:
            now = self._clock()
            self._served += 1
            self._measure(now)
            return self._place(now, start, start + half, else_from=latest)

    def retry_after_seconds(self) -> int:
        """Choose when a TV that was sent away comes back; 10 to 7200."""
        (seconds,) = self.retry_after_seconds_of(1)
        return seconds

    def retry_after_seconds_of(self, count: int) -> list[int]:
        """Choose for so many TVs at once."""
        earliest, latest = RETRY_AFTER_SECONDS
        with self._lock:
            now = self._clock()
            if self.capacity is None:
                self.capacity = GUESSED_CAPACITY
            self._turned_away += count
            self._full_parts.add(
                int((now - self._measured_since) * PARTS / MEASURED_SECONDS)
            )
            self._measure(now)
            return [
                self._place(now, earliest, latest, else_from=latest)
                for _ in range(count)
            ]

    def _place(
        self, now: float, earliest: float, latest: float, *, else_from: float
    ) -> int:
        """Give a place within a range of seconds from now, while that has room.

        If it is full: the first place with room from ``else_from`` on, or any time
        until the horizon if there is none.
        """
        self._clear_until(self._slot_of(now))
        seconds = self._rng.uniform(earliest, latest)
        if self._is_full(self._slot_of(now + seconds)):
            seconds = self._first_with_room(now, else_from)
        self._taken[self._slot_of(now + seconds) % _SLOTS] += 1
        return round(seconds)

    def _measure(self, now: float) -> None:
        elapsed = now - self._measured_since
        if elapsed < MEASURED_SECONDS:
            return
        served, came = self._served / elapsed, self._served + self._turned_away
        if self.capacity is not None:
            if served > self.capacity:
                self.capacity = served
            elif len(self._full_parts) >= FULL_PARTS and elapsed < 2 * MEASURED_SECONDS:
                self.capacity += CAPACITY_WEIGHT * (served - self.capacity)
        expected = self._taken[self._slot_of(now) % _SLOTS] / SLOT_SECONDS
        # What is more than all places is a burst, of TVs that are given some now.
        unasked = min(max(0.0, came / elapsed - expected), self.capacity or 0.0)
        self._unasked += UNASKED_WEIGHT * (unasked - self._unasked)
        self._measured_since, self._served, self._turned_away = now, 0, 0
        self._full_parts.clear()

    def _is_full(self, slot: int) -> bool:
        if self.capacity is None:
            return False
        room = max(FILL * self.capacity - self._unasked, LEAST_FILL * self.capacity)
        return self._taken[slot % _SLOTS] >= room * SLOT_SECONDS

    def _first_with_room(self, now: float, else_from: float) -> float:
        slot = self._slot_of(now + else_from)
        slot = max(slot, self._frontiers.get(else_from, slot))
        end = self._slot_of(now + HORIZON_SECONDS)
        while slot < end and self._is_full(slot):
            slot += 1
        self._frontiers[else_from] = slot
        if slot == end:
            return self._rng.uniform(else_from, HORIZON_SECONDS)
        in_slot = (slot + self._rng.random()) * SLOT_SECONDS - now
        return max(in_slot, else_from)

    def _clear_until(self, present: int) -> None:
        for passed in range(self._present, min(present, self._present + _SLOTS)):
            self._taken[passed % _SLOTS] = 0
        self._present = present

    @staticmethod
    def _slot_of(at: float) -> int:
        return int(at // SLOT_SECONDS)

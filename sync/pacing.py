"""When TVs come back to this process: each is given a place in the time to come.

A process that has had enough to do knows how many syncs a second it can answer, and
gives away no more places than that, less a quarter for those who come unasked. So the
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

#: How finely places are counted.
SLOT_SECONDS = 10

#: Share of the capacity that is given away.
FILL = 0.75

#: Syncs a second that are given away before it is known how many can be answered.
GUESSED_CAPACITY = 100.0

#: How long capacity is measured at a time, in as many parts; a burst that is over
#: before most of them says nothing about it.
MEASURED_SECONDS = 5.0
PARTS = 5
FULL_PARTS = 4

#: Weight of the last measurement beside those before.
LATEST_WEIGHT = 0.3

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
        self._served = 0
        self._full_parts: set[int] = set()

    def served(self) -> None:
        """Note that a sync was answered."""
        with self._lock:
            self._served += 1
            self._measure(self._clock())

    def turned_away(self) -> None:
        """Note that one could not be: there is more to do than can be done."""
        with self._lock:
            now = self._clock()
            if self.capacity is None:
                self.capacity = GUESSED_CAPACITY
            part = (now - self._measured_since) * PARTS / MEASURED_SECONDS
            self._full_parts.add(int(part))
            self._measure(now)

    def place(self, earliest: float, latest: float, *, else_from: float) -> int:
        """Choose the seconds until a TV comes: within a range, while that has room.

        If it is full: the first place with room from ``else_from`` on, at most
        ``HORIZON_SECONDS``, and any time until then if there is none.
        """
        with self._lock:
            now = self._clock()
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
        if self.capacity is not None:
            rate = self._served / elapsed
            if rate > self.capacity:
                self.capacity = rate
            elif len(self._full_parts) >= FULL_PARTS:
                self.capacity += LATEST_WEIGHT * (rate - self.capacity)
        self._measured_since, self._served = now, 0
        self._full_parts.clear()

    def _is_full(self, slot: int) -> bool:
        if self.capacity is None:
            return False
        return self._taken[slot % _SLOTS] >= self.capacity * FILL * SLOT_SECONDS

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

"""How busy this process is: when to shed a request, and when TVs come back.

So many syncs are answered at once as there are places. A burst waits its turn; but
once all places have been taken for longer than a burst takes, what finds none is sent
away on the spot, before its body is read. So nobody waits long, and a process with too
much to do spends next to nothing on what it can't do.

An event loop has places of its own. Whoever has one waits only for the database, so
there is no need to wait for a place as well.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from sync.exceptions import Overloaded
from sync.pacing import Pacing

#: Share of a process's threads that no sync takes: they send away what is too much,
#: and answer probes and operators.
SPARE_FRACTION = 1 / 4
SPARE_THREADS = 2

#: How long a burst may last. Also, how long a sync waits for a place at most.
PATIENCE_SECONDS = 0.25

#: Syncs that an event loop has begun and not answered yet: as many as one group takes
#: while another is written. In that time a process answers them.
LOOP_PLACES = 128

pacing = Pacing()

_lock = threading.Lock()
_in_flight = 0
#: Those who wait for a place, the first to come first: each a lock, released for it.
_waiting: deque[threading.Lock] = deque()
#: When the places were all taken; None once half of them were free again.
_full_since: float | None = None
#: Only the loop changes it.
_on_loop = 0


def in_flight_limit() -> int:
    """How many syncs this process answers at once."""
    threads: int = settings.REQUEST_THREADS
    return max(1, threads - max(SPARE_THREADS, int(threads * SPARE_FRACTION)))


def take_place() -> bool:
    """Take one of the places, after a moment perhaps; False if there is none."""
    global _in_flight
    with _lock:
        if _in_flight < in_flight_limit():
            _in_flight += 1
            return True
        patience = _patience_left()
        if patience <= 0:
            return False
        turn = threading.Lock()
        turn.acquire()
        _waiting.append(turn)
    if turn.acquire(timeout=patience):
        return True
    with _lock:
        if turn in _waiting:
            _waiting.remove(turn)
            return False
    # It was given one just now.
    return True


def give_place_back() -> None:
    """Hand one's place to whoever has waited longest."""
    global _in_flight, _full_since
    with _lock:
        if _waiting:
            _waiting.popleft().release()
            return
        _in_flight -= 1
        if _full_since is not None and _in_flight <= in_flight_limit() // 2:
            _full_since = None


def has_place_on_loop() -> bool:
    return _on_loop < LOOP_PLACES


def take_place_on_loop() -> bool:
    """Take one of the event loop's places; False if there is none."""
    global _on_loop
    if _on_loop >= LOOP_PLACES:
        return False
    _on_loop += 1
    return True


def give_place_on_loop_back() -> None:
    global _on_loop
    _on_loop -= 1


@contextmanager
def admitted() -> Iterator[None]:
    """Count a request while it is answered; refuse it if there are too many."""
    if not take_place():
        raise overloaded()
    try:
        yield
    finally:
        give_place_back()


def overloaded() -> Overloaded:
    """Give the refusal of one for which there is no place."""
    return Overloaded(retry_after_seconds=retry_after_seconds())


def retry_after_seconds() -> int:
    """Choose when one that is sent away comes back: later the more there are."""
    return pacing.retry_after_seconds()


def used_fraction() -> float:
    """Share of this process's places taken, the caller's own included; 0 to 1."""
    return min(1.0, max(_in_flight / in_flight_limit(), _on_loop / LOOP_PLACES))


def next_sync_seconds() -> int:
    """Choose when a TV comes back: spread, and later the busier the process is."""
    return pacing.next_sync_seconds(used_fraction())


def _patience_left() -> float:
    """Seconds until a burst has lasted too long to be one."""
    global _full_since
    now = time.monotonic()
    if _full_since is None:
        _full_since = now
    return _full_since + PATIENCE_SECONDS - now

"""Being asked to stop, by a signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: How late a waiting command notices that it is to stop.
NOTICE_SECONDS = 0.1


class StopFlag:
    """An event that a signal handler may set.

    ``threading.Event`` may not be: a signal that comes while the same thread holds the
    event's lock, in ``wait`` or in the handler of an earlier signal, waits for ever.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_set and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, NOTICE_SECONDS))


@contextmanager
def requested() -> Iterator[StopFlag]:
    """Give a flag that SIGTERM and Ctrl-C set, however often, until the block ends."""
    flag = StopFlag()
    previous = {
        number: signal.signal(number, lambda *_: flag.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

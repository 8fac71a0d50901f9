"""Being asked to stop, by a signal."""

from __future__ import annotations

import time

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

"""A thread that looks at a shard: when it is told to, when asked, and every second."""

from __future__ import annotations

import random
import selectors as waiting
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread

import structlog
from django.db import connections
from django.utils.asyncio import async_unsafe
from psycopg import Notify

from federation.selectors import CHANNEL

#: How often it looks unasked, in case the shard can't tell it: behind a pooler, say,
#: that gives each transaction another session.
INTERVAL_SECONDS = 1.0

#: Between looks that fail: after the first one, and at most. Spread.
RETRY_SECONDS = (1.0, 60.0)

#: How long anybody waits for a look.
PATIENCE_SECONDS = 5.0

#: How long a start waits for a shard that neither answers nor fails.
PATIENCE_AT_START_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Watcher:
    """Calls ``look`` in a thread of its own, from now until it is stopped.

    A look may fail in any way: it is tried again, later and later.
    """

    def __init__(self, alias: str, look: Callable[[], object]) -> None:
        self._alias = alias
        self._look = look
        self._begun = self._ended = self._failures = 0
        self._has_looked = Condition()
        self._is_stopped = False
        #: Whether the shard said something since the last look began.
        self._is_told = False
        self._wake, self._awoken = socket.socketpair()
        self._wake.setblocking(False)
        self._awoken.setblocking(False)
        self._thread = Thread(target=self._run, name=f"watch-{alias}", daemon=True)
        self._thread.start()

    def wait_for_first(self) -> None:
        """Wait until it has looked once, or failed to."""
        with self._has_looked:
            self._has_looked.wait_for(lambda: self._ended, PATIENCE_AT_START_SECONDS)

    @async_unsafe("A publication can't be waited for here: ask from a thread.")
    def wait_for_next(self) -> None:
        """Have it look, and wait until it has; not if that failed the last time."""
        with self._has_looked:
            if self._failures:
                return
            wanted = self._begun + 1
            self._wake_up()
            self._has_looked.wait_for(
                lambda: self._ended >= wanted or self._failures, PATIENCE_SECONDS
            )

    def stop(self) -> None:
        self._is_stopped = True
        self._wake_up()
        self._thread.join()
        self._wake.close()
        self._awoken.close()

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):  # it was told often enough
            self._wake.send(b"!")

    def _run(self) -> None:
        try:
            while not self._is_stopped:
                self._try()
                self._wait()
        finally:
            # It is this thread's own, and nobody else would close it.
            connections[self._alias].close()

    def _try(self) -> None:
        with self._has_looked:
            self._begun += 1
        failures = self._failures + 1
        self._is_told = False
        try:
            self._listen()
            self._look()
            failures = 0
        except Exception as exc:
            log.warning("shard not read", shard=self._alias, problem=str(exc).strip())
            connections[self._alias].close()
        with self._has_looked:
            self._failures, self._ended = failures, self._begun
            self._has_looked.notify_all()

    def _listen(self) -> None:
        if connections[self._alias].connection is None:
            with connections[self._alias].cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
                cursor.connection.add_notify_handler(self._note)

    def _note(self, _: Notify) -> None:
        """Called when it is read, which may be in the midst of a look."""
        self._is_told = True

    def _wait(self) -> None:
        """Sleep until the shard says something, or somebody asks, or time is up."""
        if self._is_told and not self._failures:
            return
        seconds = _retry_seconds(self._failures) if self._failures else INTERVAL_SECONDS
        connection = connections[self._alias].connection
        with waiting.DefaultSelector() as either:
            either.register(self._awoken, waiting.EVENT_READ)
            if connection is not None and not connection.closed:
                either.register(connection.fileno(), waiting.EVENT_READ)
            either.select(seconds)
        with suppress(BlockingIOError):
            self._awoken.recv(4096)


def _retry_seconds(failures: int) -> float:
    first, longest = RETRY_SECONDS
    # Bounded before it is raised: it may fail for weeks.
    doubled = first * 2.0 ** min(failures - 1, 60)
    return random.uniform(0.5, 1) * min(longest, doubled)

"""Threads in which calls are worked on, each with database connections of its own.

What comes when all are busy waits; what comes when too much waits is turned away at
once. A call whose caller gives up while it waits is never begun.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future

from sync.grpc_door import refusals
from sync.grpc_door.calls import Call

#: Calls that may wait for each thread: about a second's work.
WAITING_PER_THREAD = 16

Work = Callable[[Call], bytes]


class Workers:
    """Belongs to the event loop; only ``_do`` runs in the threads."""

    def __init__(self, executor: Executor, *, threads: int) -> None:
        self._executor = executor
        self._limit = threads * (1 + WAITING_PER_THREAD)
        self._count = 0

    @property
    def has_room(self) -> bool:
        return self._count < self._limit

    async def do(self, work: Work, call: Call) -> bytes:
        """Run one call; raises nothing but a ``ConstellationError``."""
        loop = asyncio.get_running_loop()

        def count(_future: Future[bytes]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before it
                loop.call_soon_threadsafe(self._one_less)

        self._count += 1
        future = self._executor.submit(_do, work, call)
        future.add_done_callback(count)
        return await asyncio.wrap_future(future)

    def _one_less(self) -> None:
        self._count -= 1


def _do(work: Work, call: Call) -> bytes:
    try:
        return work(call)
    except Exception as exc:
        raise refusals.known(exc) from exc

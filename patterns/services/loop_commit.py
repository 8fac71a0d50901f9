"""Group commit on an event loop: what arrives while a group is written is the next one.

As ``group_commit``, without threads: nobody waits for a lock or for the interpreter.
The loop of a process has one connection for each shard.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.db import connections
from django.utils import timezone

from patterns import metrics
from patterns.exceptions import WriterIsBusy
from patterns.services import groups
from patterns.services.group_columns import Sync
from patterns.services.group_commit import (
    GROUP_SYNCS,
    PATIENCE_SECONDS,
    QUEUE_SYNCS,
    take_group,
)
from patterns.services.groups import Outcome


class _Place(NamedTuple):
    """A sync in the queue, and what whoever brought it waits for."""

    sync: Sync
    written: asyncio.Future[Outcome | None]


class LoopCommit:
    """The groups of one event loop for one shard, one at a time."""

    def __init__(self, shard_alias: str) -> None:
        self.shard_alias = shard_alias
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._waiting: deque[_Place] = deque()
        self._writing: asyncio.Task[None] | None = None
        #: What the last statement took, its commit included: no group knows its own.
        self._last_us = 0

    async def write(self, sync: Sync) -> Outcome | None:
        """Have a sync written; None if it must be tried alone.

        Returns after the commit. Raises ``WriterIsBusy``, and nothing is written, if
        there is no place in the queue or no group takes it in time.
        """
        if len(self._waiting) >= QUEUE_SYNCS:
            raise WriterIsBusy
        loop = asyncio.get_running_loop()
        place = _Place(sync, loop.create_future())
        self._waiting.append(place)
        if self._writing is None:
            # In the loop's next turn, with all who come in this one.
            self._writing = loop.create_task(self._write_all())
        giving_up = loop.call_later(PATIENCE_SECONDS, self._give_up, place)
        try:
            return await place.written
        finally:
            giving_up.cancel()

    def _give_up(self, place: _Place) -> None:
        """Leave the queue, unless it is in a group already."""
        with suppress(ValueError):
            self._waiting.remove(place)
            place.written.set_exception(WriterIsBusy())

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                group = take_group(self._waiting)
                if not group:
                    break  # all have given up
                outcomes = await self._outcomes([place.sync for place in group])
                for sync, written in group:
                    if not written.done():
                        written.set_result(outcomes.get(sync.device_id))
        finally:
            self._writing = None

    async def _gather(self) -> None:
        """Wait for those who are on their way, as long as each turn brings some.

        Syncs that are read already take the loop less than a smaller group would.
        """
        count = 0
        while count < len(self._waiting) < GROUP_SYNCS:
            count = len(self._waiting)
            await asyncio.sleep(0)

    async def _outcomes(self, syncs: Sequence[Sync]) -> dict[UUID, Outcome]:
        metrics.GROUP_SIZE.observe(len(syncs))
        started = time.perf_counter()
        try:
            return await groups.write_soon(
                await self._connected(),
                syncs,
                now=timezone.now(),
                latency_us=groups.latency_us(syncs) + len(syncs) * self._last_us,
            )
        except Exception:
            # Each is tried alone, and meets its error there if it is its own.
            metrics.FAILED_GROUPS.inc()
            await self._close_if_broken()
            return {}
        finally:
            self._last_us = round((time.perf_counter() - started) * 1_000_000)

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            parameters = connections[self.shard_alias].get_connection_params()
            # Those of Django are for its own.
            del parameters["cursor_factory"]
            self._connection = await psycopg.AsyncConnection.connect(
                **parameters, autocommit=True
            )
        return self._connection

    async def _close_if_broken(self) -> None:
        if self._connection is not None and self._connection.broken:
            await self.close()

    async def close(self) -> None:
        """Close its connection, while nothing is written; the next group opens one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def of(shard_alias: str) -> LoopCommit:
    """Give the one of the running event loop."""
    of_loop = _by_loop.setdefault(asyncio.get_running_loop(), {})
    found = of_loop.get(shard_alias)
    if found is None:
        found = of_loop[shard_alias] = LoopCommit(shard_alias)
    return found


async def close_all() -> None:
    """Close the connections of the running event loop, while nothing is written."""
    for each in _by_loop.get(asyncio.get_running_loop(), {}).values():
        await each.close()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, LoopCommit]]
_by_loop = WeakKeyDictionary()

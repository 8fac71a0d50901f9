"""Group commit: what arrives while a group is written becomes the next group.

The thread that finds nobody at work leads: it writes what waits, itself included, in
one statement and one commit, and then tells the first of those who came meanwhile to
lead. A sync that comes alone waits for nobody, and no thread exists only to write.
LevelDB's queue of writers is like it (``DBImpl::Write``).

A group that fails as a whole says nothing about its members: each is then tried alone,
by the thread that brought it, so only the guilty one gets the error.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from patterns import metrics
from patterns.exceptions import WriterIsBusy
from patterns.services import groups
from patterns.services.group_columns import Sync
from patterns.services.groups import Outcome

#: Most that one statement takes: syncs, and ids that they name.
GROUP_SYNCS = 64
GROUP_IDS = 512

#: Most that wait for the groups before them.
QUEUE_SYNCS = 1024

#: How long a sync waits to be taken into a group.
PATIENCE_SECONDS = 2.0


class Place(Protocol):
    """Somewhere in a queue."""

    @property
    def sync(self) -> Sync: ...


AnyPlace = TypeVar("AnyPlace", bound=Place)


def take_group(waiting: deque[AnyPlace]) -> list[AnyPlace]:
    """Take the first who wait, no TV twice, as many as one statement takes."""
    group: list[AnyPlace] = []
    devices: set[UUID] = set()
    later: list[AnyPlace] = []
    room = GROUP_IDS
    while waiting and len(group) < GROUP_SYNCS and room > 0:
        place = waiting.popleft()
        if place.sync.device_id in devices:
            later.append(place)
            continue
        group.append(place)
        devices.add(place.sync.device_id)
        room -= len(place.sync.reckoning.ids)
    waiting.extendleft(reversed(later))
    return group


class GroupCommit:
    """The groups of one process for one shard, one at a time, on one connection.

    So there are as many connections as processes, not as threads, and whoever leads
    finds the statement prepared.
    """

    def __init__(self, shard_alias: str) -> None:
        self._alias = shard_alias
        self._connection: BaseDatabaseWrapper | None = None
        self._lock = threading.Lock()
        self._waiting: deque[_Place] = deque()
        self._is_led = False
        #: What the last statement took, its commit included: no group knows its own.
        self._last_us = 0

    def write(self, sync: Sync) -> Outcome | None:
        """Have a sync written; None if it must be tried alone.

        Returns after the commit. Raises ``WriterIsBusy``, and nothing is written, if
        there is no place in the queue or no group takes it in time.
        """
        place = _Place(sync)
        if not self._queue(place):
            self._wait(place)
        if place.leads:
            self._lead(place)
        return place.outcome

    def _queue(self, place: _Place) -> bool:
        """Join the queue; tell whether to lead at once."""
        with self._lock:
            if len(self._waiting) >= QUEUE_SYNCS:
                raise WriterIsBusy
            self._waiting.append(place)
            if self._is_led:
                return False
            self._is_led = place.leads = True
            return True

    def _wait(self, place: _Place) -> None:
        if place.turn.acquire(timeout=PATIENCE_SECONDS):
            return
        with self._lock:
            if place in self._waiting and not place.leads:
                self._waiting.remove(place)
                raise WriterIsBusy
        # In a group, or told to lead just now.
        place.turn.acquire()

    def _lead(self, leader: _Place) -> None:
        with self._lock:
            # The leader is the first who waits.
            group = take_group(self._waiting)
        outcomes: dict[UUID, Outcome] = {}
        try:
            outcomes = self._write([place.sync for place in group])
        except Exception:
            # Each is tried alone, and meets its error there if it is its own.
            metrics.FAILED_GROUPS.inc()
            self._close_if_broken()
        finally:
            self._hand_over()
            for place in group:
                place.outcome = outcomes.get(place.sync.device_id)
                if place is not leader:
                    place.turn.release()

    def _write(self, syncs: Sequence[Sync]) -> dict[UUID, Outcome]:
        metrics.GROUP_SIZE.observe(len(syncs))
        started = time.perf_counter()
        outcomes = groups.write(
            self._shared_connection(),
            syncs,
            now=timezone.now(),
            latency_us=groups.latency_us(syncs) + len(syncs) * self._last_us,
        )
        self._last_us = round((time.perf_counter() - started) * 1_000_000)
        return outcomes

    def _shared_connection(self) -> BaseDatabaseWrapper:
        """Give that of the leaders, of whom there is one at a time."""
        own = connections[self._alias]
        if own.in_atomic_block:
            return own  # whoever called is to decide whether this is committed
        if self._connection is None:
            self._connection = own.copy()
            self._connection.inc_thread_sharing()
        return self._connection

    def _close_if_broken(self) -> None:
        if self._connection is not None:
            self._connection.close_if_unusable_or_obsolete()

    def close(self) -> None:
        """Close its connection, while nobody leads; the next leader opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _hand_over(self) -> None:
        with self._lock:
            if not self._waiting:
                self._is_led = False
                return
            successor = self._waiting[0]
            successor.leads = True
        successor.turn.release()


class _Place:
    """A sync in the queue, and the thread that waits for it."""

    __slots__ = ("leads", "outcome", "sync", "turn")

    def __init__(self, sync: Sync) -> None:
        self.sync = sync
        self.outcome: Outcome | None = None
        #: Whether its thread is to write the next group.
        self.leads = False
        #: Held until its thread is told that there is something to do.
        self.turn = threading.Lock()
        self.turn.acquire()


def of(shard_alias: str) -> GroupCommit:
    """Give the one of this process."""
    found = _by_alias.get(shard_alias)
    # Whoever is slower gets that of the quicker.
    return found or _by_alias.setdefault(shard_alias, GroupCommit(shard_alias))


def close_all() -> None:
    """Close the connections of this process, while nothing is written."""
    for each in _by_alias.values():
        each.close()


_by_alias: dict[str, GroupCommit] = {}

"""Threads of a coordinator that do units of work, a few at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event, Thread

import structlog
from django.db import Error, connections

from federation import units
from federation.models import RoundUnit
from federation.visits import SHARDS_AT_ONCE

#: What is under way when a round ends early is waited for, but not for ever.
FAREWELL_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass
class _Hand:
    claimed: RoundUnit
    is_done: Event = field(default_factory=Event)
    #: What no unit may end with: somebody wants the whole process to end.
    broken: BaseException | None = None


class Hands:
    """A shard that never answers keeps its thread; nobody waits for that."""

    def __init__(self) -> None:
        self._busy: list[_Hand] = []
        self._is_free = Event()

    @property
    def are_free(self) -> bool:
        return len(self._busy) < SHARDS_AT_ONCE

    def give(self, claimed: RoundUnit) -> None:
        """Start on a unit."""
        hand = _Hand(claimed)
        self._busy.append(hand)
        Thread(target=self._work, args=(hand,), name=str(claimed), daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Until one is free, at most so long; raises what broke one."""
        self._is_free.wait(seconds)
        self._is_free.clear()
        for hand in self._busy:
            if hand.broken is not None:
                raise hand.broken
        self._busy = [hand for hand in self._busy if not hand.is_done.is_set()]

    def close(self) -> None:
        deadline = time.monotonic() + FAREWELL_SECONDS
        for hand in self._busy:
            hand.is_done.wait(max(0.0, deadline - time.monotonic()))

    def _work(self, hand: _Hand) -> None:
        try:
            units.carry_out(hand.claimed)
        except Error as exc:
            # The control database is away; the unit's lease runs out.
            log.warning("a unit was lost", unit=str(hand.claimed), problem=str(exc))
        except BaseException as exc:
            hand.broken = exc
        finally:
            # Connections belong to threads, and this one ends.
            connections.close_all()
            hand.is_done.set()
            self._is_free.set()

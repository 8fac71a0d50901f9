"""A simulated TV: a brain, a line to the server, and a household that watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from fleet.brain import Brain, Viewing
from fleet.client import Client, SyncResult
from fleet.outbox import Outbox

#: What a household watches in a round; the same each time it is asked.
Habits = Callable[[int], Sequence[Viewing]]


class Television:
    def __init__(self, *, client: Client, habits: Habits) -> None:
        self.client = client
        self._habits = habits

    @cached_property
    def brain(self) -> Brain:
        """What the household learned; after a restart it follows from its past."""
        outbox = self.client.outbox
        brain = Brain(household_id=outbox.device_id)
        for round_number in range(outbox.rounds_watched):
            brain.watch(self._habits(round_number))
        return brain

    @property
    def owes(self) -> bool:
        return self.client.outbox.owes(self.brain.patterns())

    def live_a_round(self) -> SyncResult:
        """Watch what comes next, and sync."""
        outbox = self.client.outbox
        self.brain.watch(self._habits(outbox.rounds_watched))
        outbox.rounds_watched += 1
        return self.sync()

    def sync(self) -> SyncResult:
        return self.client.sync(self.brain.patterns())


def outbox_at(path: Path | None, *, fresh: Callable[[], Outbox]) -> Outbox:
    """Take up what an earlier run left, or start fresh.

    So does a TV whose state can't be read any more: the server tells it where it
    stands. Never to start again would be worse.
    """
    if path is not None and path.exists():
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            return Outbox.load(path)
    return fresh()

"""A simulated TV: a brain, a line to the server, and a household that watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fleet.brain import Brain, Viewing
from fleet.client import Client, SyncResult
from fleet.outbox import Outbox

#: What a household watches in a round; the same each time it is asked.
Habits = Callable[[int], Sequence[Viewing]]


class Television:
    def __init__(self, *, client: Client, habits: Habits) -> None:
        self.client = client
        self.brain = Brain(household_id=client.outbox.device_id)
        self._habits = habits
        # Switched on again: what it had learned follows from what was watched.
        for round_number in range(client.outbox.rounds_watched):
            self.brain.watch(habits(round_number))

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
    """Take up what an earlier run left, or start fresh."""
    if path is not None and path.exists():
        return Outbox.load(path)
    return fresh()

"""Which process is killed when: drawn from the seed, before the round begins."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.fleet import Told
from tests.chaos.installation import SERVERS, SHARD_COUNT

STEPS = (
    *("", "sampling", "fitting", "collecting", "merging", "training"),
    *("staging", "deciding", "flipping"),
)

#: How often each is killed, in parts.
VICTIMS = {"coordinator": 5, "worker": 3, "backend": 2, "server": 2}


@dataclass(frozen=True)
class Kill:
    """A kill -9 as soon as a round is in a step and so many units are settled."""

    victim: str
    #: Which of the servers, where it is one or a session of one.
    server: int
    step: str
    settled_count: int

    def is_due(self, told: Told) -> bool:
        here, there = STEPS.index(told.step), STEPS.index(self.step)
        return here > there or (
            here == there and told.settled_count >= self.settled_count
        )

    def __str__(self) -> str:
        whose = f" of {SERVERS[self.server][0]}" if self.victim[0] in "bs" else ""
        after = f" after {self.settled_count}" if self.settled_count else ""
        return f"{self.victim}{whose} in {self.step or 'opening'}{after}"


def draw(rng: random.Random) -> list[Kill]:
    """Draw one to three kills of a round, in the order of its steps."""
    kills = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        step = rng.choice(STEPS)
        counts = step in ("sampling", "collecting", "staging", "flipping")
        kills.append(
            Kill(
                victim=rng.choices(list(VICTIMS), list(VICTIMS.values()))[0],
                server=rng.randrange(len(SERVERS)),
                step=step,
                settled_count=rng.randrange(SHARD_COUNT) if counts else 0,
            )
        )
    return sorted(kills, key=lambda kill: (STEPS.index(kill.step), kill.settled_count))

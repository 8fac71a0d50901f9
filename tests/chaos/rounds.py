"""Rounds held twice by real processes: in peace, and with kills."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from django.db import Error

from federation.rounds import run_round
from tests.chaos import fleet, killing
from tests.chaos.fleet import Told
from tests.chaos.installation import Installation
from tests.chaos.killing import Kill

#: Long before, something is broken for good.
PATIENCE_SECONDS = 600.0

LOOK_SECONDS = 0.03


@dataclass
class Disturbed:
    """What became of a round whose processes were killed."""

    told: Told
    kills: list[str] = field(default_factory=list)
    recovery_seconds: float = 0.0


class Chaos:
    """So many rounds, with kills drawn from a seed."""

    def __init__(
        self, installation: Installation, *, seed: int, rounds: int, is_hurried: bool
    ) -> None:
        self._installation = installation
        self._seed = seed
        self._rounds = rounds
        self._is_hurried = is_hurried

    def undisturbed(self) -> list[str]:
        """Hold all rounds in peace, in this process, and give their checksums."""
        checksums = []
        for number in self._numbers():
            report = run_round()
            assert report.status == "published", report.problem
            checksums.append(report.checksum)
            say(f"undisturbed {number}: {report.checksum[:12]}")
        return checksums

    def disturbed(self) -> list[Disturbed]:
        """Hold all rounds again, with kills."""
        rng = random.Random(self._seed)
        # Drawn before anything happens, which draws on the numbers as well.
        kills = [killing.draw(rng) for _ in range(self._rounds)]
        held = []
        for number in self._numbers():
            one = _Round(
                self._installation, rng, kills[number - 1], is_hurried=self._is_hurried
            ).hold()
            held.append(one)
            say(f"disturbed {number}: {_in_words(one)}")
        return held

    def _numbers(self) -> Iterator[int]:
        fleet.begin_again()
        for number in range(1, self._rounds + 1):
            self._installation.wait_for_servers()
            fleet.let_go()
            fleet.enrol(self._seed, number)
            fleet.let_go()
            yield number


class _Round:
    """One round and the processes that hold it."""

    def __init__(
        self,
        installation: Installation,
        rng: random.Random,
        kills: list[Kill],
        *,
        is_hurried: bool,
    ) -> None:
        self._installation = installation
        self._rng = rng
        self._kills = list(kills)
        self._is_hurried = is_hurried
        self._done: list[str] = []
        self._last_kill = time.monotonic()
        self._before = fleet.newest_id()

    def hold(self) -> Disturbed:
        self._coordinator = self._installation.coordinator()
        self._worker = self._installation.worker()
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while True:
                told = self._look()
                if told is not None and told.is_over:
                    seconds = time.monotonic() - self._last_kill
                    self._coordinator.wait()
                    return Disturbed(told, self._done, seconds)
                if told is not None and self._kills and self._kills[0].is_due(told):
                    self._carry_out(self._kills.pop(0))
                self._revive()
                assert time.monotonic() < deadline, f"no end: {told}"
                time.sleep(LOOK_SECONDS)
        finally:
            for process in (self._coordinator, self._worker):
                process.kill()
                process.wait()

    def _carry_out(self, kill: Kill) -> None:
        self._done.append(str(kill))
        server = self._installation.servers[kill.server]
        if kill.victim == "coordinator":
            self._coordinator.kill()
            self._coordinator.wait()
        elif kill.victim == "worker":
            self._worker.kill()
            self._worker.wait()
        elif kill.victim == "backend":
            server.kill_a_backend(self._rng)
        else:
            server.kill()
            time.sleep(self._rng.uniform(0.2, 2.0))
            server.start()
        self._last_kill = time.monotonic()
        if self._is_hurried and kill.victim in ("coordinator", "worker"):
            # If nobody can be asked for a moment, they run out by themselves.
            with suppress(Error):
                fleet.let_leases_run_out()

    def _revive(self) -> None:
        """Whoever is dead is followed by another, as a supervisor would have it."""
        if self._worker.poll() is not None:
            self._worker = self._installation.worker()
        if self._coordinator.poll() is None:
            return
        if self._is_wanted():
            self._coordinator = self._installation.coordinator()

    def _is_wanted(self) -> bool:
        """Whether this round needs a coordinator; it must not hold one more."""
        try:
            told = fleet.first_after(self._before)
        except Error:
            fleet.let_go()
            return False  # for now: perhaps it is over
        return told is None or not told.is_over

    def _look(self) -> Told | None:
        """This round; None before it is opened, or while nobody can tell."""
        try:
            return fleet.first_after(self._before)
        except Error:
            fleet.let_go()
            return None


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _in_words(one: Disturbed) -> str:
    told = one.told
    kills = "; ".join(one.kills) or "none came in time"
    return (
        f"{told.checksum[:12]} {told.status}, {told.term} coordinators, "
        f"{one.recovery_seconds:.1f} s after the last kill ({kills}) {told.problem}"
    ).rstrip()

"""Hold rounds twice, once with kills, and compare: ``python -m tests.chaos``."""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import django

from tests.chaos.installation import Installation

if TYPE_CHECKING:
    from tests.chaos.fleet import Told
    from tests.chaos.killing import Kill

#: A round is finished or abandoned this long after the last kill.
RECOVERY_SECONDS = 60.0

#: Long before, something is broken for good.
PATIENCE_SECONDS = 600.0

LOOK_SECONDS = 0.01


@dataclass
class Disturbed:
    """What became of a round whose processes were killed."""

    told: Told
    kills: list[str] = field(default_factory=list)
    recovery_seconds: float = 0.0


class Chaos:
    def __init__(self, installation: Installation, *, seed: int, rounds: int) -> None:
        self._installation = installation
        self._seed = seed
        self._rounds = rounds

    def undisturbed(self) -> list[str]:
        """Hold all rounds in peace and give their checksums."""
        checksums = []
        for number in self._numbers():
            said = self._installation.coordinator()
            assert said.wait() == 0, "an undisturbed round failed"
            told = self._newest()
            assert told is not None
            checksums.append(told.checksum)
            _say(f"undisturbed {number}: {told.checksum[:12]}")
        return checksums

    def disturbed(self) -> list[Disturbed]:
        """Hold all rounds again, with kills."""
        from tests.chaos import killing

        rng = random.Random(self._seed)
        held = []
        for number in self._numbers():
            one = _Round(self._installation, rng, killing.draw(rng)).hold()
            held.append(one)
            kills = "; ".join(one.kills) or "none came in time"
            _say(
                f"disturbed {number}: {one.told.checksum[:12]} {one.told.status}, "
                f"{one.told.term} coordinators, {one.recovery_seconds:.1f} s after the "
                f"last kill ({kills}) {one.told.problem}".rstrip()
            )
        return held

    def _numbers(self) -> Iterator[int]:
        from tests.chaos import fleet

        fleet.begin_again()
        numbers = range(1, self._rounds + 1)
        for number in numbers:
            fleet.enrol(self._seed, number)
            fleet.let_go()
            yield number

    def _newest(self) -> Told | None:
        from tests.chaos import fleet

        return fleet.newest()


class _Round:
    """One round and the processes that hold it."""

    def __init__(
        self, installation: Installation, rng: random.Random, kills: list[Kill]
    ) -> None:
        self._installation = installation
        self._rng = rng
        self._kills = kills
        self._done: list[str] = []
        self._last_kill = time.monotonic()
        self._before = self._newest()

    def hold(self) -> Disturbed:
        self._coordinator = self._installation.coordinator()
        self._worker = self._installation.worker()
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while True:
                told = self._told()
                if told is not None and told.is_over:
                    seconds = time.monotonic() - self._last_kill
                    return Disturbed(told, self._done, seconds)
                if told is not None and self._kills and self._kills[0].is_due(told):
                    self._carry_out(self._kills.pop(0))
                self._revive()
                assert time.monotonic() < deadline, f"no end: {told}"
                time.sleep(LOOK_SECONDS)
        finally:
            if self._is_ending():
                self._coordinator.wait()
            for process in (self._coordinator, self._worker):
                process.kill()
                process.wait()

    def _is_ending(self) -> bool:
        told = self._told()
        return told is not None and told.is_over

    def _carry_out(self, kill: Kill) -> None:
        self._done.append(str(kill))
        server = self._installation.servers[kill.server]
        if kill.victim == "coordinator":
            self._coordinator.kill()
        elif kill.victim == "worker":
            self._worker.kill()
        elif kill.victim == "backend":
            server.kill_a_backend(self._rng)
        else:
            server.kill()
            time.sleep(self._rng.uniform(0.2, 2.0))
            server.start()
        self._last_kill = time.monotonic()

    def _revive(self) -> None:
        """Whoever is dead is followed by another, as a supervisor would have it."""
        if self._worker.poll() is not None:
            self._worker = self._installation.worker()
        if self._coordinator.poll() is not None and not self._is_ending():
            self._coordinator = self._installation.coordinator()

    def _told(self) -> Told | None:
        """This round; None before it is opened, or while nobody can tell."""
        newest = self._newest()
        if newest is None or newest == self._before:
            return None
        if self._before is not None and newest.round_id == self._before.round_id:
            return None
        return newest

    def _newest(self) -> Told | None:
        from django.db import Error

        from tests.chaos import fleet

        try:
            return fleet.newest()
        except Error:
            fleet.let_go()
            return None


def main() -> int:
    options = _options()
    # Being told to end is being interrupted: what was started is still ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    installation = Installation()
    try:
        os.environ.update(installation.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "constellation_site.settings"
        django.setup()
        _migrate(installation)
        chaos = Chaos(installation, seed=options.seed, rounds=options.rounds)
        return _compare(chaos.undisturbed(), chaos.disturbed())
    except BaseException:
        _say((installation.folder / "processes.log").read_text()[-20_000:])
        raise
    finally:
        installation.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _migrate(installation: Installation) -> None:
    for alias in ("default", *(f"shard_{number:03d}" for number in range(5))):
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--database", alias, "-v", "0"],
            env=installation.environment,
            check=True,
        )


def _compare(expected: list[str], held: list[Disturbed]) -> int:
    wrong = [
        number
        for number, (checksum, one) in enumerate(
            zip(expected, held, strict=True), start=1
        )
        if one.told.checksum != checksum
        or one.told.status not in ("published", "partial")
    ]
    slowest = max(one.recovery_seconds for one in held)
    kills = sum(len(one.kills) for one in held)
    partial = sum(one.told.status == "partial" for one in held)
    taken = sum(one.told.term > 1 for one in held)
    _say(
        f"{len(held)} rounds, {kills} kills: {len(held) - len(wrong)} checksums as "
        f"undisturbed, {taken} rounds taken over, {partial} partial; the slowest was "
        f"over {slowest:.1f} s after its last kill (limit {RECOVERY_SECONDS:.0f} s)"
    )
    if wrong:
        _say(f"Different: rounds {', '.join(map(str, wrong))}")
    return 1 if wrong or slowest > RECOVERY_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())

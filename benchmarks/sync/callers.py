"""The TVs of a shard that take their turn: each request once, each version next."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sync.generator import BROKEN, Load
from benchmarks.sync.machine import Machine, MachineError
from benchmarks.sync.tvs import Population

#: How many of those who sync have never done so before.
NEW_FRACTION = 0.1

#: Of the others, how many don't hold the publication: a TV syncs six times a round, and
#: is answered with news once.
BEHIND_FRACTION = 1 / 6

#: Writes requests of some TVs, given what the server has stored of each and how many
#: are behind.
Write = Callable[[NDArray[np.int64], NDArray[np.int64], float], list[bytes]]


@dataclass(frozen=True, eq=False)
class Calls:
    """Requests, and the TV of each."""

    requests: list[bytes]
    tvs: NDArray[np.int64]

    def cut(self, parts: int) -> list[Calls]:
        """Deal them out."""
        return [
            Calls(self.requests[part::parts], self.tvs[part::parts])
            for part in range(parts)
        ]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Has requests written by a process of the installation."""

    machine: Machine
    shard_id: int
    #: In lists instead of columns, with the peer's tokens.
    is_for_peer: bool = False

    def __call__(
        self,
        tvs: NDArray[np.int64],
        versions: NDArray[np.int64],
        behind_fraction: float,
    ) -> list[bytes]:
        with tempfile.TemporaryDirectory(dir=self.machine.home) as name:
            folder = Path(name)
            np.save(folder / "tvs.npy", tvs)
            np.save(folder / "versions.npy", versions)
            self.machine.python(
                *("-m", "benchmarks.sync.requests", str(folder)),
                *("--shard", str(self.shard_id), "--behind", str(behind_fraction)),
                *(["--peer"] if self.is_for_peer else []),
            )
            data = (folder / "requests").read_bytes()
            ends = np.load(folder / "sizes.npy").cumsum().tolist()
        return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class Callers:
    """Knows what the server has stored of each TV.

    ``applied`` are the versions of TVs that have synced since the shard was filled.
    """

    def __init__(
        self,
        population: Population,
        write: Write,
        applied: Mapping[int, int] | None = None,
    ) -> None:
        self._write = write
        rng = np.random.default_rng(population.shard_id)
        self._returning = rng.permutation(population.returning)
        self._new = population.returning + rng.permutation(population.new)
        self._versions = np.zeros(population.devices, dtype=np.int64)
        self._versions[: population.returning] = 1
        for tv, version in (applied or {}).items():
            self._versions[tv] = version
        self._new = self._new[self._versions[self._new] == 0]
        # On a shard that was kept, those who have not been asked before: the others
        # have more patterns than TVs of a full shard.
        versions = self._versions[self._returning]
        self._returning = self._returning[np.argsort(versions, kind="stable")]
        self._rng = rng

    @property
    def most(self) -> int:
        """How many requests it can make at once."""
        with_new = int(len(self._returning) / (1 - NEW_FRACTION))
        return min(with_new, int(len(self._new) / NEW_FRACTION))

    def calls(self, count: int, *, behind_fraction: float = BEHIND_FRACTION) -> Calls:
        """Have so many TVs write their next request: each once, new ones among them."""
        if count > self.most:
            raise MachineError(f"{count:,} TVs are to sync, and {self.most:,} are left")
        n_new = round(count * NEW_FRACTION)
        new, self._new = self._new[:n_new], self._new[n_new:]
        returning = self._returning[: count - n_new]
        # Those who waited longest come first the next time.
        self._returning = np.roll(self._returning, -len(returning))
        tvs = self._rng.permutation(np.concatenate([returning, new]))
        return Calls(self._write(tvs, self._versions[tvs], behind_fraction), tvs)

    def note(self, calls: Calls, load: Load) -> None:
        """Take down what was applied; TVs whose connection broke are left alone."""
        self._versions[calls.tvs[load.served]] += 1
        broken = calls.tvs[load.requests[load.statuses == BROKEN]]
        self._returning = self._returning[~np.isin(self._returning, broken)]
        still_new = calls.tvs[self._versions[calls.tvs] == 0]
        self._new = np.concatenate([self._new, np.setdiff1d(still_new, broken)])

"""The TVs of a shard that take their turn: each request once, each version next."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sync.generator import BROKEN, Load
from benchmarks.sync.machine import Machine, MachineError
from benchmarks.sync.tvs import Population

#: How many of those who sync have never done so before.
NEW_FRACTION = 0.1


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


class Callers:
    """Knows what the server has stored of each TV."""

    def __init__(self, machine: Machine, shard_id: int, *, for_peer: bool = False):
        self._machine = machine
        self._population: Population = machine.populations[shard_id]
        self._for_peer = for_peer
        rng = np.random.default_rng(shard_id)
        self._returning = rng.permutation(self._population.returning)
        self._new = self._population.returning + rng.permutation(self._population.new)
        self._versions = np.zeros(self._population.devices, dtype=np.int64)
        self._versions[: self._population.returning] = 1
        self._rng = rng

    @property
    def most(self) -> int:
        """How many requests it can make at once."""
        with_new = int(len(self._returning) / (1 - NEW_FRACTION))
        return min(with_new, int(len(self._new) / NEW_FRACTION))

    def calls(self, count: int, *, behind_fraction: float | None = None) -> Calls:
        """Have so many TVs write their next request: each once, new ones among them."""
        n_new = round(count * NEW_FRACTION)
        new, self._new = self._new[:n_new], self._new[n_new:]
        if len(new) < n_new or count - n_new > len(self._returning):
            raise MachineError(f"{self._population} are not enough for {count:,} more")
        chosen = self._returning[: count - n_new]
        self._returning = np.roll(self._returning, -len(chosen))
        tvs = self._rng.permutation(np.concatenate([chosen, new]))
        return Calls(self._written(tvs, behind_fraction), tvs)

    def note(self, calls: Calls, load: Load) -> None:
        """Take down what was applied; TVs whose connection broke are left alone."""
        self._versions[calls.tvs[load.served]] += 1
        broken = calls.tvs[load.requests[load.statuses == BROKEN]]
        self._returning = self._returning[~np.isin(self._returning, broken)]
        unused = np.setdiff1d(
            calls.tvs[self._versions[calls.tvs] == 0], broken, assume_unique=True
        )
        self._new = np.concatenate([self._new, unused])

    def _written(
        self, tvs: NDArray[np.int64], behind_fraction: float | None
    ) -> list[bytes]:
        with tempfile.TemporaryDirectory(dir=self._machine.home) as name:
            folder = Path(name)
            np.save(folder / "tvs.npy", tvs)
            np.save(folder / "versions.npy", self._versions[tvs])
            options = ["--shard", str(self._population.shard_id)]
            if behind_fraction is not None:
                options += ["--behind", str(behind_fraction)]
            if self._for_peer:
                options.append("--peer")
            self._machine.python(
                "-m", "benchmarks.sync.requests", str(folder), *options
            )
            data = (folder / "requests").read_bytes()
            ends = np.load(folder / "sizes.npy").cumsum().tolist()
        return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

"""What a run costs: CPU time by kind of process, memory, and WAL."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from benchmarks.sync.machine import Machine

_PAGE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Reading:
    """CPU seconds by kind of process since they started, and the place in the WAL."""

    cpu: dict[str, float]
    wal_bytes: int

    def since(self, earlier: Reading) -> Reading:
        return Reading(
            cpu={
                kind: seconds - earlier.cpu.get(kind, 0.0)
                for kind, seconds in self.cpu.items()
            },
            wal_bytes=self.wal_bytes - earlier.wal_bytes,
        )


@dataclass(frozen=True)
class Meters:
    """Reads what a server, the database and the rest of an installation use."""

    machine: Machine
    #: The process that all of the server's descend from.
    pid: int

    def read(self) -> Reading:
        kinds = {
            "python": self.web(),
            "postgresql": _family(self.machine.postgres_pid()),
            "other": self.others(),
        }
        return Reading(
            cpu={kind: _cpu_seconds(each) for kind, each in kinds.items()},
            wal_bytes=self._wal_bytes(),
        )

    def web(self) -> list[psutil.Process]:
        """Those who answer over HTTP, and who started them."""
        return [each for each in _family(self.pid) if _is_web(each)]

    def others(self) -> list[psutil.Process]:
        """What else an installation runs: gRPC, the observer, federation."""
        return [each for each in _family(self.pid) if not _is_web(each)]

    def web_rss_mib(self) -> list[float]:
        """Memory of each worker that answers over HTTP, the largest first."""
        sizes = [each.memory_info().rss / _PAGE for each in self.web()]
        return sorted(sizes, reverse=True)

    def _wal_bytes(self) -> int:
        with self.machine.connect("postgres") as connection:
            row = connection.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0'"
            ).fetchone()
        return int(row[0]) if row else 0


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _is_web(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        ancestors = [process, *process.parents()]
        return any("granian" in " ".join(each.cmdline()) for each in ancestors)
    return False


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Of all that live, and of those that have ended below them."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system
            seconds += times.children_user + times.children_system
    return seconds

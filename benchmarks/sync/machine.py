"""A PostgreSQL of its own with filled shards, and an installation that serves them.

The database is apart from `manage.py up`, as in production: it stays while servers
come and go, and every peer is measured on the same one.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.installation import (
    BASE_DIR,
    FOREIGN_SETTINGS,
    Installation,
    running,
    temporary_home,
)
from benchmarks.sync import filling, tvs
from benchmarks.sync.progress import Progress
from benchmarks.sync.tvs import Population
from constellation_site import embedded

#: For the product, a peer and pgbench, though not at the same time.
CONNECTIONS = 400

#: Where a kept folder says what it was filled with.
RECORD = "benchmark.json"


class MachineError(Exception):
    """A program of the benchmark failed."""


class Machine:
    """Filled databases, durable. Opened by ``open_machine``."""

    def __init__(
        self, home: Path, populations: Sequence[Population], settings: Mapping[str, str]
    ) -> None:
        self.home = home
        self.populations = populations
        self.settings = settings

    def connect(self, database: str) -> psycopg.Connection:
        url = embedded.database_url(self.home, database)
        return psycopg.connect(url, autocommit=True)

    def connect_shard(self, shard_id: int) -> psycopg.Connection:
        return self.connect(embedded.shard_database(shard_id))

    def serving(self) -> AbstractContextManager[Installation]:
        """Run the product on these databases: a context with its ``Installation``."""
        return running(self.home, self.settings)

    def python(self, *arguments: str, **settings: str) -> bytes:
        """Run Python in the installation's environment: its standard output."""
        return run(
            [sys.executable, *arguments],
            environment={
                **self.settings,
                "CONSTELLATION_HOME": str(self.home),
                **settings,
            },
        )

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run a command of ``manage.py``: what it says to machines."""
        said: dict[str, Any] = json.loads(
            self.python("manage.py", *arguments, "--json")
        )
        return said

    def applied(self, shard_id: int) -> dict[int, int]:
        """Versions of the TVs that have synced since the shard was filled."""
        with self.connect_shard(shard_id) as connection:
            rows = connection.execute(
                """
                SELECT id, local_version FROM shards_device
                WHERE last_synced_at IS NOT NULL
                """
            ).fetchall()
        return {tvs.number_of(device_id): version for device_id, version in rows}

    def migrate(self, shard_id: int) -> None:
        """Bring the schema of one database up; -1 for the control database."""
        alias = "default" if shard_id < 0 else f"shard_{shard_id:03d}"
        self.python("manage.py", "migrate", "--database", alias, "--verbosity", "0")

    def checkpoint(self) -> None:
        """Begin a measurement with nothing left to write of the one before."""
        with self.connect("postgres") as connection:
            connection.execute("CHECKPOINT")

    def postgres_pid(self) -> int:
        pid = embedded.postmaster_pid(self.home)
        if pid is None:
            raise MachineError("PostgreSQL is gone")
        return pid


@contextmanager
def open_machine(
    populations: Sequence[Population],
    *,
    cells: int,
    keep: Path | None,
    progress: Progress,
) -> Iterator[Machine]:
    """Fill one, or take the one that was kept; at the end its server is stopped."""
    with _home(keep) as home:
        filling.check_room(home, [] if _is_filled(home, populations) else populations)
        embedded.set_shard_count(home, len(populations))
        machine = Machine(home, populations, _settings(home))
        try:
            if not _is_filled(home, populations):
                _fill(machine, cells, progress)
            embedded.start(home, max_connections=CONNECTIONS)
            yield machine
        finally:
            embedded.stop(home)


def run(command: Sequence[str], *, environment: Mapping[str, str]) -> bytes:
    """Run a program to its end: its standard output."""
    process = subprocess.run(
        command,
        cwd=BASE_DIR,
        env={**_own_environment(), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if process.returncode != 0:
        problem = process.stderr.decode(errors="replace").strip()
        raise MachineError(f"{' '.join(command)}: {problem[-2000:]}")
    return process.stdout


@contextmanager
def _home(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with temporary_home() as home:
            yield home
        return
    embedded.make_home(keep)
    keep.chmod(0o711)
    yield keep


def _fill(machine: Machine, cells: int, progress: Progress) -> None:
    # Nothing is lost by a crash that running it again doesn't bring back.
    embedded.start(machine.home, durable=False, max_connections=CONNECTIONS)
    progress.say("migrating")
    with ThreadPoolExecutor() as pool:
        # Exhausted, for what went wrong.
        list(pool.map(machine.migrate, range(-1, len(machine.populations))))
    for population in machine.populations:
        total = population.devices + population.patterns
        with (
            progress.bar(f"filling shard {population.shard_id}", total) as tell,
            machine.connect_shard(population.shard_id) as connection,
        ):
            filling.fill(connection, population, tell)
    progress.say("publishing")
    machine.python("-m", "benchmarks.sync.publishing", "--cells", str(cells))
    # Stopping writes a checkpoint, and the next start is durable.
    embedded.stop(machine.home)
    os.sync()
    _record_path(machine.home).write_text(json.dumps(_record(machine.populations)))


def _is_filled(home: Path, populations: Sequence[Population]) -> bool:
    path = _record_path(home)
    if not path.exists():
        return False
    if json.loads(path.read_text()) != _record(populations):
        raise MachineError(f"{home} was filled otherwise: remove it, or use another")
    return True


def _record_path(home: Path) -> Path:
    return home / RECORD


def _record(populations: Sequence[Population]) -> list[list[int]]:
    return [[each.returning, each.new, each.patterns] for each in populations]


def _settings(home: Path) -> dict[str, str]:
    key = home / "secret_key"
    if not key.exists():
        key.write_text(secrets.token_urlsafe(48))
    control, *shards = (
        embedded.database_url(home, name) for name in embedded.database_names(home)
    )
    return {
        "POSTGRES_URL": control,
        "SHARD_POSTGRES_URLS": ",".join(shards),
        "SECRET_KEY": key.read_text(),
        "DJANGO_SETTINGS_MODULE": "constellation_site.settings",
    }


def _own_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN_SETTINGS
    }

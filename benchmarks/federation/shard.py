"""A shard of its own: an embedded PostgreSQL in a temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.federation.filling import add_patterns
from constellation_site import embedded

BASE_DIR = Path(__file__).resolve().parent.parent.parent

ALIAS = "shard_000"


class BenchmarkError(Exception):
    """A part of it didn't end well."""


class BenchmarkShard:
    """An empty shard that grows. Ended by ``open_shard``."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._environment = {
            name: value for name, value in os.environ.items() if "POSTGRES" not in name
        } | {
            "CONSTELLATION_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "constellation_site.settings",
            "SECRET_KEY": "of a benchmark",
        }
        self.pattern_count = 0

    def migrate(self) -> None:
        for alias in ("default", ALIAS):
            command = ["manage.py", "migrate", "--database", alias, "--verbosity", "0"]
            self._run(command)

    def grow_to(self, pattern_count: int) -> None:
        """Add made-up TVs until it has so many patterns, or a few more."""
        url = embedded.database_url(self._home, embedded.shard_database(0))
        with psycopg.connect(url, autocommit=True) as connection:
            self.pattern_count = add_patterns(connection, up_to=pattern_count)

    def measure(self, what: str, plan: Path, *numbers: int) -> dict[str, Any]:
        """Measure in a process of its own: what it found."""
        given = [what, str(plan), *map(str, numbers)]
        found: dict[str, Any] = json.loads(
            self._run(["-m", "benchmarks.federation.child", *given])
        )
        return found

    def _run(self, arguments: list[str]) -> bytes:
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=BASE_DIR,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if process.returncode != 0:
            problem = process.stderr.decode(errors="replace").strip()
            raise BenchmarkError(f"{' '.join(arguments)}: {problem[-2000:]}")
        return process.stdout


@contextmanager
def open_shard() -> Iterator[BenchmarkShard]:
    """Start one; at the end nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="constellation-bench-") as name:
        home = Path(name)
        # So that the database's user gets there: else its data would be elsewhere.
        home.chmod(0o711)
        embedded.set_shard_count(home, 1)
        try:
            embedded.start(home, durable=False)
            shard = BenchmarkShard(home)
            shard.migrate()
            yield shard
        finally:
            embedded.destroy(home)

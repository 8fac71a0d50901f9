"""An installation of its own: `manage.py up` in a temporary folder, on free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from constellation_site import embedded

BASE_DIR = Path(__file__).resolve().parent.parent

#: Below those that systems give to outgoing connections.
PORTS = range(12_000, 20_000)

READY_SECONDS = 180
COMMAND_SECONDS = 300
END_SECONDS = 60
POLL_SECONDS = 0.2

#: What would make it another installation than the one that is measured.
FOREIGN_SETTINGS = (
    "BUNDLE_URL",
    "POSTGRES_URL",
    "PROMETHEUS_MULTIPROC_DIR",
    "SECRET_KEY",
    "SHARD_IDS",
    "SHARD_POSTGRES_URLS",
)

#: Few TVs must do.
SETTINGS = {"MIN_DEVICES_PER_PATTERN": "5", "FEDERATION_INTERVAL_SECS": "86400"}

#: The first round of a schedule begins by itself as soon as there are a few TVs.
_ONLY_ROUNDS_ASKED_FOR = """
from federation import schedule
row = schedule.ensure()
row.enabled = False
row.save()
print("{}")
"""


class InstallationError(Exception):
    """It didn't start, or a command failed."""


class Installation:
    """A running server. Ended with everything it started by who opened it.

    ``settings`` come on top of those of every benchmark.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        rest, grpc, metrics = free_addresses(3)
        self.url = f"http://{rest}"
        self._log = home / "up.log"
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in FOREIGN_SETTINGS
        }
        self._environment |= {"CONSTELLATION_HOME": str(home), **SETTINGS}
        self._environment |= settings or {}
        addresses = (
            *("--rest-addr", rest, "--grpc-addr", grpc, "--metrics-addr", metrics),
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up", *addresses],
                cwd=BASE_DIR,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is ours, and passed on once.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that all others of it descend from."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise InstallationError(f"It didn't start:\n{self._log.read_text()}")
            time.sleep(POLL_SECONDS)
        self.python("manage.py", "shell", "-v", "0", "-c", _ONLY_ROUNDS_ASKED_FOR)

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run a command of ``manage.py`` beside it; what it says to machines."""
        return self.python("manage.py", *arguments, "--json")

    def python(
        self, *arguments: str, given: bytes = b"", **settings: str
    ) -> dict[str, Any]:
        """Run Python in its environment: one JSON object from standard output."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=BASE_DIR,
            env=self._environment | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            said, errors = process.communicate(given, timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired as exc:
            raise InstallationError(f"{arguments} takes too long") from exc
        finally:
            end_process(process, signal.SIGTERM)
        if process.returncode != 0:
            problem = errors.decode(errors="replace").strip()
            raise InstallationError(f"{' '.join(arguments)}: {problem[-2000:]}")
        answer: dict[str, Any] = json.loads(said)
        return answer

    def end(self) -> None:
        end_process(self._process, signal.SIGINT)

    def _is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/ready", timeout=5).is_success
        return False


@contextmanager
def open_installation() -> Iterator[Installation]:
    """Start one; at the end nothing of it is left."""
    with temporary_home() as home, running(home) as installation:
        yield installation


@contextmanager
def running(
    home: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Installation]:
    """Start one in a home that outlives it."""
    installation = Installation(home, settings)
    try:
        installation.wait_until_ready()
        yield installation
    finally:
        installation.end()


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that a database may be in; at the end both are gone."""
    with tempfile.TemporaryDirectory(prefix="constellation-bench-") as name:
        home = Path(name)
        # So that the database's user gets there: else its data would be elsewhere.
        home.chmod(0o711)
        try:
            yield home
        finally:
            embedded.destroy(home)


def end_process(
    process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM
) -> None:
    """Have a process end, and kill what doesn't, with all that it started."""
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=POLL_SECONDS)
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine that nobody listens at."""
    start = os.getpid() * 101 % len(PORTS)
    candidates = [*PORTS[start:], *PORTS[:start]]
    free = (port for port in candidates if _is_free(port))
    return [f"127.0.0.1:{next(free)}" for _ in range(count)]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True

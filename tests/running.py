"""A whole installation of its own: `manage.py up` as a process, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil
import psycopg

from constellation_site import embedded
from federation import schedule

_TURN_SCHEDULE_OFF = f"""
    UPDATE django_celery_beat_periodictask SET enabled = false
    WHERE task = '{schedule.TASK}'
"""

BASE_DIR = Path(__file__).resolve().parent.parent

#: Below those that systems give to outgoing connections: 32768 on Linux, else higher.
PORTS = range(20_000, 32_000)

# Runs of the suite at the same time begin apart; none offers a port twice.
_ports = cycle(PORTS)
deque(islice(_ports, os.getpid() * 101 % len(PORTS)), maxlen=0)


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[str]]:
    """Addresses that nobody listens on, nor gets by chance before they are used."""
    free = filter(_is_free, _ports)
    yield [f"127.0.0.1:{port}" for port in islice(free, count)]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class Running:
    """A `manage.py up` of its own: home, ports, processes."""

    def __init__(
        self, home: Path, rest: str, metrics: str, *options: str, **settings: str
    ) -> None:
        self._home = home
        self.url = f"http://{rest}"
        self.metrics_url = f"http://{metrics}/metrics"
        with free_ports(1) as (self.grpc_target,):
            pass
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("SECRET_KEY", "PROMETHEUS_MULTIPROC_DIR", "POSTGRES_URL")
        }
        self.environment |= {"CONSTELLATION_HOME": str(home), **settings}
        self._output: list[str] = []
        self._process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "up", *options),
                *("--rest-addr", rest, "--metrics-addr", metrics),
                *("--grpc-addr", self.grpc_target),
            ],
            cwd=BASE_DIR,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self._output)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as stream:
            for line in stream:
                self._output.append(line)

    def wait_until_ready(self, seconds: float = 600) -> None:
        deadline = time.monotonic() + seconds
        while "Constellation is ready" not in self.output:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.2)
        wait_for(lambda: "Ctrl-C stops everything" in self.output)

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run a command beside it, and give what it says to machines."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments, "--json"],
            cwd=BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def have_no_rounds_begin(self) -> None:
        """But those that are asked for: the schedule's first may begin amid syncs."""
        url = embedded.database_url(self._home, embedded.CONTROL_DATABASE)

        def is_off() -> bool:
            with psycopg.connect(url) as connection:
                return bool(connection.execute(_TURN_SCHEDULE_OFF).rowcount)

        wait_for(is_off)

    def processes(self) -> list[int]:
        """All it has started, at any depth."""
        family = psutil.Process(self._process.pid).children(recursive=True)
        return [process.pid for process in family]

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        try:
            return self._process.wait(120)
        finally:
            self._process.kill()
            self._reader.join(60)

"""An installation to be killed: five shards on three PostgreSQL servers of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from constellation_site import embedded
from constellation_site.embedded import EmbeddedPostgresError
from tests.chaos.patience import PATIENCE

BASE_DIR = Path(__file__).resolve().parents[2]

#: Which databases lie on which server: the control database on the first.
SERVERS = (
    ("control",),
    ("shard_000", "shard_001", "shard_002"),
    ("shard_003", "shard_004"),
)
SHARD_COUNT = 5

#: After a kill -9 the old processes take a moment to notice.
RESTART_SECONDS = 300


class Server:
    """A PostgreSQL server that comes back when it is told to."""

    def __init__(self, home: Path, databases: tuple[str, ...]) -> None:
        self.home = home
        self.databases = databases
        home.mkdir(mode=0o711, parents=True)
        embedded.make_home(home)
        self.start()

    def start(self) -> None:
        deadline = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                embedded.start(self.home, databases=self.databases)
                return
            except EmbeddedPostgresError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def urls(self) -> list[str]:
        return [embedded.database_url(self.home, name) for name in self.databases]

    def wait(self) -> None:
        """Until it answers again: after a crash it recovers."""
        deadline = time.monotonic() + RESTART_SECONDS
        while not embedded.is_running(self.home):
            assert time.monotonic() < deadline, "it never came back"
            time.sleep(0.1)

    def kill(self) -> None:
        """End the postmaster as a machine does that loses power."""
        pid = embedded.postmaster_pid(self.home)
        if pid:
            os.kill(pid, signal.SIGKILL)

    def kill_a_backend(self, rng: random.Random) -> None:
        """End one session; the server then ends all others and recovers."""
        pid = embedded.postmaster_pid(self.home)
        if not pid:
            return
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(pid).children()
            sessions = [each for each in children if "idle" in _title(each)]
            if sessions:
                rng.choice(sessions).send_signal(signal.SIGKILL)


class Installation:
    """Servers, settings, and the processes that hold rounds.

    Patient ones wait for databases for as long as it takes.
    """

    def __init__(self, *, is_patient: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="constellation-chaos-"))
        self.folder.chmod(0o711)
        self.log = self.folder / "processes.log"
        self.log.touch()
        self.servers = [
            Server(self.folder / f"server-{number}", databases)
            for number, databases in enumerate(SERVERS)
        ]
        (control,), *shards = (server.urls() for server in self.servers)
        self.environment = {
            **os.environ,
            "CONSTELLATION_HOME": str(self.folder),
            "SECRET_KEY": "a key for chaos, not for anything else",
            "POSTGRES_URL": control,
            "SHARD_POSTGRES_URLS": ",".join(url for urls in shards for url in urls),
            "MIN_DEVICES_PER_PATTERN": "5",
            "MIN_SOURCE_COUNT": "2",
            PATIENCE: "1" if is_patient else "",
            # Many processes at once: threads of each would wait for one another.
            "OPENBLAS_NUM_THREADS": "1",
        }

    def coordinator(self) -> subprocess.Popen[bytes]:
        return self._run("-m", "tests.chaos.coordinator")

    def worker(self) -> subprocess.Popen[bytes]:
        return self._run("-m", "tests.chaos.worker")

    def wait_for_servers(self) -> None:
        for server in self.servers:
            server.wait()

    def close(self) -> None:
        for server in self.servers:
            embedded.destroy(server.home)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=log,
                stderr=log,
            )


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""

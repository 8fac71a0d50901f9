"""A sync that was answered survives ``kill -9``, and counts once.

The whole of it is real: an embedded cluster that syncs to disk, a server process, and
TVs that keep a delta until it is confirmed. They meet, so syncs are killed in batches.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg
import pytest

from constellation_site import embedded
from tests.running import free_ports, wait_for
from tests.sync.binary import PROTOBUF
from tests.sync.packing import packed_message
from tests.sync.television import SYNC, addition, update

pytestmark = pytest.mark.slow

BASE_DIR = Path(__file__).resolve().parents[2]
KILLS = 2
TVS = 6

#: Every applied delta adds one sample to this pattern.
COUNTED = UUID(int=1)


class Installation:
    """A cluster with one shard, and a server in front of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("POSTGRES_URL", "SHARD_POSTGRES_URLS", "SHARD_IDS")
        } | {
            "CONSTELLATION_HOME": str(home),
            "SECRET_KEY": "a key for one test and its processes",
            "DJANGO_SETTINGS_MODULE": "constellation_site.settings",
        }
        with free_ports(1) as (self.address,):
            host, _, port = self.address.partition(":")
            self.listening = ["--host", host, "--port", port]

    def prepare(self) -> None:
        embedded.set_shard_count(self.home, 1)
        (self.home / "static").mkdir()
        embedded.start(self.home, durable=True)
        for alias in ("default", "shard_000"):
            self.manage("migrate", "--database", alias, "--verbosity", "0")
        self.manage(
            "shell", "-c", "from shards import services; services.ensure_shards()"
        )
        key = self.manage("enrolment_batch", "create", "spring", "--json")
        self.enrolment_key = httpx.Response(200, text=key).json()["enrolment_key"]

    def manage(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def serve(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "granian", "--interface", "rsgi"),
                *self.listening,
                *("--workers", "1"),
                *("--log-level", "error"),
                "constellation_site.rsgi:application",
            ],
            cwd=BASE_DIR,
            env=self.environment,
        )

    def kill_postgres(self) -> None:
        pid = embedded.postmaster_pid(self.home)
        assert pid is not None
        kill_family(pid)

    def connect(self) -> psycopg.Connection[Any]:
        url = embedded.database_url(self.home, embedded.shard_database(0))
        return psycopg.connect(url)

    def rows(self, statement: str, parameters: list[object]) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(statement, parameters).fetchall()

    def somebody_waits(self) -> bool:
        """Whether a session waits for a lock that another one holds."""
        [(waiting,)] = self.rows(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE cardinality(pg_blocking_pids(pid)) > 0",
            [],
        )
        return bool(waiting)


def kill_family(pid: int) -> None:
    """Give none of these processes a last word."""
    first = psutil.Process(pid)
    for process in [first, *first.children(recursive=True)]:
        process.send_signal(signal.SIGKILL)


class TirelessTv(threading.Thread):
    """Syncs without a pause, the same delta until it is answered.

    In protobuf, which an event loop answers, or in JSON, which threads do.
    """

    def __init__(self, url: str, enrolment_key: str, *, is_usual: bool = True) -> None:
        super().__init__(daemon=True)
        self.is_usual = is_usual
        self.http = httpx.Client(base_url=url, timeout=10)
        self.enrolment_key = enrolment_key
        self.is_stopping = False
        self.version = 0
        #: Version of each answered delta, and the pattern that it added.
        self.answered: dict[int, UUID] = {}
        self.retries = 0
        self.surprises: list[str] = []

    def run(self) -> None:
        with self.http:
            self.enrol()
            while not self.is_stopping:
                self.version += 1
                self.keep_sending(uuid4())

    def has_retried_since(self, retries: int) -> bool:
        return self.retries > retries

    def enrol(self) -> None:
        answer = self.http.post(
            "/api/v1/devices", json={"enrolment_key": self.enrolment_key}
        ).json()
        self.device_id = answer["device_id"]
        self.http.headers["Authorization"] = f"Device {answer['token']}"

    def keep_sending(self, pattern_id: UUID) -> None:
        body = self.delta(pattern_id)
        while True:
            try:
                response = self.send(body)
            except httpx.TransportError:
                response = None
            if response is not None and response.status_code == 200:
                self.answered[self.version] = pattern_id
                return
            if response is not None and response.status_code != 503:
                self.surprises.append(response.text)
                return
            self.retries += 1
            time.sleep(0.05)

    def send(self, body: dict[str, Any]) -> httpx.Response:
        if not self.is_usual:
            return self.http.post(SYNC, json=body)
        content = packed_message(body).SerializeToString()
        headers = {"Content-Type": PROTOBUF}
        return self.http.post(SYNC, content=content, headers=headers)

    def delta(self, pattern_id: UUID) -> dict[str, Any]:
        oldest = self.answered.get(self.version - 100)
        first = [addition(COUNTED, sample_count=1)] if self.version == 1 else []
        return {
            "device_id": self.device_id,
            "base_version": self.version - 1,
            "delta": {
                "patterns_added": [*first, addition(pattern_id, seed=self.version)],
                "patterns_updated": [update(COUNTED, samples=1)],
                "patterns_removed": [str(oldest)] if oldest else [],
                "local_version": self.version,
            },
        }


@pytest.fixture
def installation() -> Iterator[Installation]:
    home = Path(tempfile.mkdtemp(prefix="constellation-durability-"))
    home.chmod(0o711)  # under root the cluster runs as another user
    try:
        installation = Installation(home)
        installation.prepare()
        yield installation
    finally:
        embedded.destroy(home)
        shutil.rmtree(home, ignore_errors=True)


class Server:
    """In front of the cluster, at the same address each time."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.url = f"http://{installation.address}"

    def start(self) -> None:
        self._process = self._installation.serve()
        wait_until_alive(self.url)

    def terminate(self) -> None:
        self._process.terminate()

    def end(self) -> None:
        self.terminate()
        self._process.wait(timeout=120)

    def kill(self) -> None:
        kill_family(self._process.pid)
        self._process.wait(timeout=120)


@pytest.fixture
def server(installation: Installation) -> Iterator[Server]:
    server = Server(installation)
    try:
        server.start()
        yield server
    finally:
        server.end()


def wait_until_alive(url: str) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health/live").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("The server doesn't answer.")


def wait_for_answers(tvs: list[TirelessTv], count: int) -> None:
    """Have each of them answered so many times more."""
    targets = [len(tv.answered) + count for tv in tvs]
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert not [tv.surprises for tv in tvs if tv.surprises]
        if all(len(tv.answered) >= n for tv, n in zip(tvs, targets, strict=True)):
            return
        time.sleep(0.01)
    raise AssertionError("A TV doesn't get through.")


def wait_for_retries(tvs: list[TirelessTv], before: list[int]) -> None:
    for tv, retries in zip(tvs, before, strict=True):
        wait_for(partial(tv.has_retried_since, retries))


def check(installation: Installation, tv: TirelessTv) -> None:
    assert tv.surprises == []
    assert len(tv.answered) == tv.version
    [(version,)] = installation.rows(
        "SELECT local_version FROM shards_device WHERE id = %s", [tv.device_id]
    )
    assert version == tv.version
    counts = dict(
        installation.rows(
            "SELECT pattern_id, sample_count FROM patterns_pattern"
            " WHERE device_id = %s",
            [tv.device_id],
        )
    )
    # Lost once, it would be less; applied twice, more.
    assert counts.pop(COUNTED) == 1 + tv.version
    assert set(counts) == {
        pattern_id
        for answered, pattern_id in tv.answered.items()
        if answered > tv.version - 100
    }


def test_answered_syncs_survive_kill_9_and_retries_count_once(installation, server):
    tvs = [
        TirelessTv(server.url, installation.enrolment_key, is_usual=number % 2 == 0)
        for number in range(TVS)
    ]
    for tv in tvs:
        tv.start()
    for _ in range(KILLS):
        wait_for_answers(tvs, 20)
        retries = [tv.retries for tv in tvs]
        installation.kill_postgres()
        wait_for_retries(tvs, retries)
        embedded.start(installation.home, durable=True)

        wait_for_answers(tvs, 20)
        retries = [tv.retries for tv in tvs]
        server.kill()
        wait_for_retries(tvs, retries)
        server.start()
    wait_for_answers(tvs, 20)
    server.end()
    server.start()
    wait_for_answers(tvs, 5)
    for tv in tvs:
        tv.is_stopping = True
    for tv in tvs:
        tv.join(timeout=300)

    assert min(tv.version for tv in tvs) > 40 * KILLS
    for tv in tvs:
        check(installation, tv)
    # Counted as exactly: by those who died, too.
    [(tallied,)] = installation.rows(
        "SELECT sum(pattern_count) FROM shards_shardtally", []
    )
    [(stored,)] = installation.rows("SELECT count(*) FROM patterns_pattern", [])
    assert tallied == stored


@pytest.mark.parametrize("is_usual", [True, False], ids=["loop", "threads"])
def test_sync_under_way_is_answered_before_a_server_ends(
    installation, server, is_usual
):
    tv = TirelessTv(server.url, installation.enrolment_key, is_usual=is_usual)
    with tv.http:
        tv.enrol()
        tv.version = 1
        answers: list[int] = []

        def sync() -> None:
            answers.append(tv.send(tv.delta(uuid4())).status_code)

        with installation.connect() as connection:
            # As if somebody else wrote this TV just now.
            connection.execute(
                "SELECT FROM shards_device WHERE id = %s FOR UPDATE", [tv.device_id]
            )
            syncing = threading.Thread(target=sync)
            syncing.start()
            wait_for(installation.somebody_waits)
            server.terminate()
            wait_for(partial(is_closed, server.url))
            was_waiting = not answers
        syncing.join(timeout=60)

    assert was_waiting
    assert answers == [200]


def is_closed(url: str) -> bool:
    """Whether a server takes nobody new."""
    try:
        httpx.get(f"{url}/health/live", timeout=2)
    except httpx.TransportError:
        return True
    return False

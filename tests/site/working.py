"""Real worker processes on the suite's databases, and the brokers between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import redis
from celery import Celery
from django.conf import settings
from django.db import connection, connections
from django.db.models.functions import Now

from federation.models import Worker
from tests.running import BASE_DIR, free_ports, wait_for

#: Shards that take part.
SHARD_COUNT = 3
QUEUE = "constellation"


class Broker(ABC):
    """What carries messages, as a sender outside sees it."""

    #: For ``CELERY_BROKER_URL``; None where nothing is configured.
    url: str | None = None

    def __init__(self) -> None:
        self.client = Celery("tests")
        self.client.config_from_object("constellation_site.celery_settings")
        if self.url:
            self.client.conf.update(broker_url=self.url, broker_transport_options={})

    def send(self, task: str, *arguments: int) -> None:
        self.client.send_task(task, arguments)

    def lose_all(self) -> int:
        """Delete every message; tells how many there were."""
        return int(self.client.control.purge())

    @abstractmethod
    def waiting_count(self) -> int:
        """Messages that nobody has done, be it that somebody is at it."""


class ControlDatabase(Broker):
    def waiting_count(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT queue_length FROM pgmq.metrics(%s)", [QUEUE])
            return int(cursor.fetchone()[0])


class Redis(Broker):
    def __init__(self, url: str) -> None:
        self.url = url
        self._redis = redis.Redis.from_url(url)
        super().__init__()

    def waiting_count(self) -> int:
        return int(self._redis.llen(QUEUE)) + int(self._redis.hlen("unacked"))


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of its own, that keeps nothing; gives its URL."""
    program = shutil.which("redis-server")
    assert program, "the package redis-server is missing; `make test` installs it"
    with free_ports(1) as (address,):
        host, _, port = address.partition(":")
    command = [program, "--bind", host, "--port", port, "--dir", str(folder)]
    process = subprocess.Popen(
        [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    )
    url = f"redis://{address}/0"
    try:
        with redis.Redis.from_url(url) as client:
            wait_for(lambda: _answers(client))
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


class WorkerProcess:
    """``manage.py worker`` on the databases of the tests."""

    def __init__(self, broker: Broker, log: Path, *options: str, **given: str) -> None:
        with free_ports(1) as (self.metrics_address,):
            pass
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "worker", "--concurrency", "2"),
                *("--metrics-addr", self.metrics_address, *options),
            ],
            cwd=BASE_DIR,
            env=_environment(broker) | given,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        #: As it calls itself in rows.
        self.name = f"{socket.gethostname()}:{self._process.pid}"

    @property
    def is_there(self) -> bool:
        assert self._process.poll() is None, "it ended"
        return Worker.objects.filter(name=self.name).exists()

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals) -> int:
        self.tell(number)
        try:
            return self._process.wait(120)
        finally:
            self._process.kill()
            self._process.wait()
            self._log.close()


@dataclass
class Crew:
    """Some workers on one broker."""

    broker: Broker
    log: Path
    workers: list[WorkerProcess] = field(default_factory=list)

    def complete(self, count: int = 2) -> None:
        """Have so many, and all of them ready."""
        for worker in self.workers:
            # It says so every few seconds, but the tables were emptied since.
            Worker.objects.get_or_create(
                name=worker.name,
                defaults={"slots": 2, "started_at": Now(), "seen_at": Now()},
            )
        while len(self.workers) < count:
            self.workers.append(WorkerProcess(self.broker, self.log))
        wait_for(lambda: all(worker.is_there for worker in self.workers))

    def dismiss(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    def kill(self, name: str) -> None:
        """As the kernel does when memory runs out."""
        [victim] = [worker for worker in self.workers if worker.name == name]
        victim.kill()
        self.workers.remove(victim)

    @property
    def names(self) -> set[str]:
        return {worker.name for worker in self.workers}


@contextlib.contextmanager
def locked(alias: str, table: str) -> Iterator[None]:
    """Nobody reads or writes the table meanwhile: whoever comes waits."""
    separate = connections[alias].copy()
    try:
        with separate.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        separate.close()


def _environment(broker: Broker) -> dict[str, str]:
    urls = [_url(f"shard_{number:03d}") for number in range(SHARD_COUNT)]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PROMETHEUS_MULTIPROC_DIR", "CELERY_BROKER_URL", "SHARD_IDS")
    }
    environment |= {
        "POSTGRES_URL": _url("default"),
        "SHARD_POSTGRES_URLS": ",".join(urls),
        "SECRET_KEY": settings.SECRET_KEY,
        "MIN_DEVICES_PER_PATTERN": "5",
        "MIN_SOURCE_COUNT": "2",
        "LOG_LEVEL": "INFO",
    }
    if broker.url:
        environment["CELERY_BROKER_URL"] = broker.url
    return environment


def _url(alias: str) -> str:
    place = connections[alias].settings_dict
    host = place["HOST"] or place["OPTIONS"].get("host", "")
    return (
        f"postgresql://{quote(place['USER'])}:{quote(place['PASSWORD'])}"
        f"@/{place['NAME']}?host={quote(host, safe='/')}"
    )

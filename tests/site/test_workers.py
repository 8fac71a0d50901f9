"""Rounds held by worker processes: what becomes of them, of messages, of the schedule.

Whatever happens to either, a round gives the bits that it gives in a single process.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client, override_settings
from django.urls import reverse
from kombu import pools

from constellation_site.celery import app
from federation import rounds, schedule, waking, workers
from federation.models import FederationRound, RoundEvent, RoundUnit, Schedule, Worker
from federation.selectors import current_version
from shards.databases import CONTROL_ALIAS, shard_alias
from tests.federation import fleets
from tests.running import wait_for
from tests.site.working import (
    SHARD_COUNT,
    Broker,
    ControlDatabase,
    Crew,
    Redis,
    WorkerProcess,
    locked,
    redis_server,
)

ALIASES = [CONTROL_ALIAS, *map(shard_alias, range(SHARD_COUNT))]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(databases=ALIASES, transaction=True),
]

#: What has nothing to do with the broker.
ON_CONTROL_DATABASE = pytest.mark.parametrize("broker", ["pgmq"], indirect=True)

FLEET = fleets.plant(tv_count=60, seed=21)
PATTERNS = "patterns_pattern"

#: A round runs for a second or so, and this long on the slowest of machines.
PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def honest(django_db_setup: None, django_db_blocker: Any) -> str:
    """The checksum of a round that a single process holds undisturbed."""
    with (
        django_db_blocker.unblock(),
        override_settings(MIN_DEVICES_PER_PATTERN=5, MIN_SOURCE_COUNT=2),
    ):
        fleets.store(FLEET, fleets.make_shards(SHARD_COUNT))
        report = rounds.run_round()
        fleets.wipe()
    assert (report.status, report.global_version) == ("published", 1)
    assert report.pattern_count
    return report.checksum


@pytest.fixture(scope="module", params=["pgmq", "redis"])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """Also what this process tells workers through, when it coordinates."""
    if request.param == "pgmq":
        with spoken_by_this_process(ControlDatabase()) as broker:
            yield broker
        return
    folder = tmp_path_factory.mktemp("redis")
    with redis_server(folder) as url, spoken_by_this_process(Redis(url)) as broker:
        yield broker


@pytest.fixture(scope="module")
def crew(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    crew = Crew(broker, tmp_path_factory.mktemp("workers") / "log")
    yield crew
    crew.dismiss()


@pytest.fixture
def planted(honest: str, settings: Any) -> None:
    """The same TVs again, and nothing published."""
    settings.MIN_DEVICES_PER_PATTERN = 5
    settings.MIN_SOURCE_COUNT = 2
    fleets.store(FLEET, fleets.make_shards(SHARD_COUNT))


@contextmanager
def spoken_by_this_process(broker: Broker) -> Iterator[Broker]:
    broker.client.set_current()
    try:
        yield broker
    finally:
        pools.reset()  # their connections would outlive the databases
        app.set_current()


def only_round() -> FederationRound:
    """The round that there is; fails if something has opened another."""
    return FederationRound.objects.get()


def is_over() -> bool:
    closed = FederationRound.objects.exclude(status="running")
    return closed.exists()


def claimed_on(shard_id: int) -> RoundUnit | None:
    return RoundUnit.objects.filter(shard=shard_id, status="claimed").first()


def let_leases_run_out() -> None:
    """As if the processes that held them had been gone for long."""
    over = Now() - timedelta(seconds=1)
    FederationRound.objects.filter(status="running").update(lease_until=over)
    RoundUnit.objects.filter(status="claimed").update(lease_until=over)


def who_did_units() -> set[str]:
    return set(only_round().units.values_list("worker", flat=True))


def test_messages_that_are_lost_late_or_there_twice_change_nothing(
    broker, crew, planted, honest
):
    crew.dismiss()
    lost = []

    def lose(_step: str, _done: int, _total: int) -> None:
        workers.say_here(slots=1)  # somebody is thought to be there
        lost.append(broker.lose_all())

    report = rounds.run_round(progress=lose)

    assert (report.status, report.checksum) == ("published", honest)
    units = list(only_round().units.values())
    assert sum(lost) == len(units) == 4 * SHARD_COUNT

    schedule.ensure()
    for _ in range(2):
        broker.send(schedule.TASK)
        for unit in units:
            broker.send("federation.collect", unit["id"])
    assert broker.waiting_count() == 2 * len(units) + 2

    crew.complete()
    wait_for(lambda: not broker.waiting_count(), PATIENCE_SECONDS)

    assert list(only_round().units.values()) == units
    assert current_version() == 1


def test_workers_hold_a_round_as_one_process_does(
    broker, crew, planted, honest, monkeypatch
):
    monkeypatch.setattr(waking, "HEAD_START", timedelta(days=1))  # all is theirs
    crew.complete()
    deadline = time.monotonic() + PATIENCE_SECONDS

    def tell_again(_step: str, _done: int, _total: int) -> None:
        assert time.monotonic() < deadline, crew.log.read_text()
        for unit in only_round().units.filter(status="waiting"):
            broker.send("federation.distribute", unit.pk)

    report = rounds.run_round(progress=tell_again)

    assert (report.status, report.checksum) == ("published", honest)
    assert who_did_units() <= crew.names
    assert set(only_round().units.values_list("attempts", flat=True)) == {1}


def test_worker_killed_in_mid_unit_is_replaced(broker, crew, planted, honest):
    crew.complete()
    schedule.ensure()
    with locked(shard_alias(1), PATTERNS):
        broker.send(schedule.TASK)
        wait_for(lambda: claimed_on(1), PATIENCE_SECONDS)
        unit = claimed_on(1)
        assert unit is not None
        crew.kill(unit.worker)
    let_leases_run_out()
    # As beat does every few seconds: it may have been the coordinator.
    broker.send("federation.tend")
    wait_for(is_over, PATIENCE_SECONDS)

    assert (only_round().status, only_round().checksum) == ("published", honest)
    unit.refresh_from_db()
    assert (unit.status, unit.attempts) == ("done", 2)
    assert unit.worker in crew.names


@ON_CONTROL_DATABASE
def test_coordinator_killed_in_mid_round_is_replaced(broker, crew, planted, honest):
    crew.complete()
    schedule.ensure()
    with locked(shard_alias(2), PATTERNS):
        broker.send(schedule.TASK)
        wait_for(lambda: claimed_on(2), PATIENCE_SECONDS)
        crew.kill(RoundEvent.objects.get(what="opened it").who)
    let_leases_run_out()
    broker.send("federation.tend")
    wait_for(is_over, PATIENCE_SECONDS)

    assert (only_round().status, only_round().checksum) == ("published", honest)
    assert only_round().term == 2


@ON_CONTROL_DATABASE
def test_worker_asked_to_stop_hands_its_round_over(broker, crew, planted, honest):
    crew.complete()
    schedule.ensure()
    with locked(shard_alias(0), PATTERNS):
        broker.send(schedule.TASK)
        wait_for(lambda: claimed_on(0), PATIENCE_SECONDS)
        opener = RoundEvent.objects.get(what="opened it").who
        [coordinator] = [one for one in crew.workers if one.name == opener]
        coordinator.tell(signal.SIGTERM)
        handed_over = RoundEvent.objects.filter(what="handed it over")
        wait_for(handed_over.exists, PATIENCE_SECONDS)
    crew.workers.remove(coordinator)
    assert coordinator.end(signal.SIGTERM) == 0
    assert not Worker.objects.filter(name=opener).exists()
    let_leases_run_out()
    broker.send("federation.tend")
    wait_for(is_over, PATIENCE_SECONDS)

    assert (only_round().status, only_round().checksum) == ("published", honest)


def test_beat_begins_rounds_and_an_operator_sets_how_often(planted, honest, tmp_path):
    a_day = {"FEDERATION_INTERVAL_SECS": "86400"}
    operator = User.objects.create_superuser("kepler")
    console = Client()
    console.force_login(operator)
    worker = WorkerProcess(ControlDatabase(), tmp_path / "log", "--beat", **a_day)
    try:
        wait_for(is_over, PATIENCE_SECONDS)
        assert (only_round().status, only_round().checksum) == ("published", honest)

        row = Schedule.objects.get(task=schedule.TASK)
        answer = console.post(
            reverse("admin:federation_schedule_change", args=[row.pk]),
            {"enabled": "on", "every": 1, "unit": "seconds"},
        )
        assert answer.status_code == 302
        wait_for(lambda: FederationRound.objects.count() > 1, PATIENCE_SECONDS)

        metrics = httpx.get(f"http://{worker.metrics_address}/metrics", trust_env=False)
        assert 'federation_rounds_total{status="published"}' in metrics.text
    finally:
        status = worker.end(signal.SIGTERM)

    assert status == 0

"""A round whose coordinator dies: whoever comes next goes on, and gives the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import override_settings

from federation import codebooks, lease, parts, publish, rounds, selectors, training
from federation.exceptions import PartDamaged, RoundLost
from federation.merge import Plan
from federation.models import FederationRound, RoundPart, RoundUnit, TrainedCodebook
from tests.federation import fleets
from tests.running import BASE_DIR, wait_for

ALIASES = ["default", "shard_000", "shard_001", "shard_002"]

pytestmark = [
    pytest.mark.django_db(databases=ALIASES, transaction=True),
    pytest.mark.usefixtures("low_thresholds"),
]

FLEET = fleets.plant(tv_count=60, taste_count=3, seed=8)

STEPS = [
    *("sampling", "fitting", "collecting", "merging", "training"),
    *("staging", "deciding", "flipping"),
]


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@pytest.fixture(scope="module")
def undisturbed(django_db_setup: None, django_db_blocker: Any) -> str:
    """The checksum of a round in which nothing happens."""
    with (
        django_db_blocker.unblock(),
        override_settings(MIN_DEVICES_PER_PATTERN=5, MIN_SOURCE_COUNT=2),
    ):
        fleets.store(FLEET, fleets.make_shards(3))
        checksum = rounds.run_round().checksum
        fleets.wipe()
    return checksum


@pytest.fixture
def shards(undisturbed):
    """The same TVs again, and nothing published."""
    shards = fleets.make_shards(3)
    fleets.store(FLEET, shards)
    return shards


def everything_has(checksum: str) -> bool:
    return {selectors.pointer(alias) for alias in ALIASES} == {(1, checksum)}


@pytest.mark.parametrize("step", STEPS)
def test_a_coordinator_that_dies_is_followed_by_one_that_does_the_rest(
    shards, undisturbed, run_out, step
):
    def die(here: str, done: int, total: int) -> None:
        if here == step and done == total // 2:
            raise Killed

    with pytest.raises(Killed):
        rounds.run_round(progress=die)
    finished = set(RoundUnit.objects.filter(status="done").values_list("pk", flat=True))
    run_out()

    report = rounds.run_round()

    assert (report.status, report.checksum) == ("published", undisturbed)
    assert everything_has(undisturbed)
    told = FederationRound.objects.get()
    assert (told.term, told.global_version) == (2, 1)
    # Nothing that was done is done again.
    assert set(told.units.filter(attempts=1).values_list("pk", flat=True)) >= finished


@pytest.mark.parametrize("step", ["fitting", "merging", "staging", "deciding"])
def test_a_coordinator_thought_dead_can_write_nothing_that_counts(
    shards, undisturbed, run_out, step
):
    taken: list[FederationRound | None] = []

    def sleep(here: str, done: int, total: int) -> None:
        if here == step and not taken:
            run_out()
            taken.append(lease.take_over())

    with pytest.raises(RoundLost):
        rounds.run_round(progress=sleep)

    told = FederationRound.objects.get()
    assert (told.status, told.global_version, told.term) == ("running", None, 2)
    assert {selectors.current_version(alias) for alias in ALIASES} == {0}
    (coordinator,) = taken
    assert coordinator is not None
    assert rounds.finish(coordinator).checksum == undisturbed
    assert everything_has(undisturbed)


def test_a_zombie_stages_nothing_on_the_control_database(shards, run_out):
    """It would delete what the round of another is about to refer to."""
    told = rounds.begin()
    run_out()
    lease.take_over()

    with pytest.raises(RoundLost), lease.fenced(told):
        RoundPart.objects.create(round=told, name="plan", size_bytes=0)

    assert not RoundPart.objects.exists()


@pytest.mark.slow
@pytest.mark.parametrize("step", ["sampling", "training", "flipping"])
def test_a_process_that_is_killed_is_followed_by_another(
    shards, undisturbed, run_out, step
):
    command = [sys.executable, "manage.py", "federate", "--json"]
    process = subprocess.Popen(
        command, cwd=BASE_DIR, env=environment(), stdout=subprocess.PIPE
    )

    def has_come_so_far() -> bool:
        return process.poll() is not None or (
            FederationRound.objects.filter(step=step).exists()
        )

    wait_for(has_come_so_far, seconds=600)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run_out()
    told = FederationRound.objects.get()
    report = rounds.run_round() if told.status == "running" else None

    assert report is None or report.round_id == told.pk
    assert everything_has(undisturbed)
    assert FederationRound.objects.get().status == "published"


def environment() -> dict[str, str]:
    """Of another process on the databases of the tests."""

    def url(alias: str) -> str:
        entry = django_settings.DATABASES[alias]
        options = entry.get("OPTIONS", {})
        host = entry["HOST"] or options.get("host", "")
        return f"postgresql://{entry['USER']}@/{entry['NAME']}?host={host}"

    return {
        **os.environ,
        "SECRET_KEY": django_settings.SECRET_KEY,
        "POSTGRES_URL": url("default"),
        "SHARD_POSTGRES_URLS": ",".join(url(alias) for alias in ALIASES[1:]),
        "MIN_DEVICES_PER_PATTERN": "5",
        "MIN_SOURCE_COUNT": "2",
    }


# What is tried again, and what isn't


def test_a_database_that_comes_back_in_time_takes_part(
    shards, undisturbed, monkeypatch
):
    monkeypatch.setattr("federation.units.PAUSES_SECONDS", (0, 0))
    stage = publish.stage
    tries: list[str] = []

    def restarting(alias, edition):
        if alias == "shard_001" and len(tries) < 2:
            tries.append(alias)
            raise OperationalError("the database system is starting up")
        stage(alias, edition)

    monkeypatch.setattr(publish, "stage", restarting)

    report = rounds.run_round()

    assert (report.status, report.problem) == ("published", "")
    unit = RoundUnit.objects.get(step="staging", shard=1)
    assert (unit.status, unit.attempts) == ("done", 3)
    history = [event.what for event in FederationRound.objects.get().events.all()]
    assert sum("starting up" in what for what in history) == 2


def test_a_codebook_that_can_not_be_trained_costs_no_round(shards, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("of course")

    monkeypatch.setattr(training, "for_result", broken)

    report = rounds.run_round()

    assert (report.status, report.global_version) == ("published", 1)
    assert report.problem == ("No codebook was trained, the last one stays: of course")
    assert not TrainedCodebook.objects.exists()


def test_the_codebook_of_a_round_is_trained_once(shards, run_out, monkeypatch):
    def die(here: str, done: int, total: int) -> None:
        if here == "staging":
            raise Killed

    with pytest.raises(Killed):
        rounds.run_round(progress=die)
    trained = RoundPart.objects.get(name="codebook")
    run_out()
    monkeypatch.setattr(training, "for_result", None)

    rounds.run_round()

    assert RoundPart.objects.get(name="codebook").sha256 == trained.sha256
    assert codebooks.newest_version("shard_000") == 1


# What is kept


def test_parts_of_the_last_rounds_are_kept(shards):
    for _ in range(parts.KEPT_ROUNDS + 1):
        rounds.run_round()

    kept = set(RoundPart.objects.values_list("round_id", flat=True))
    newest = list(FederationRound.objects.values_list("pk", flat=True))
    assert kept == set(newest[: parts.KEPT_ROUNDS])
    assert set(RoundUnit.objects.values_list("round_id", flat=True)) == kept


def test_a_part_that_was_changed_is_not_believed(shards):
    report = rounds.run_round()
    assert report.round_id is not None
    RoundPart.objects.filter(name="plan").update(sha256="0" * 64)

    with pytest.raises(PartDamaged, match=f"plan of round {report.round_id}"):
        parts.load(Plan, report.round_id, "plan")


def test_two_rounds_over_the_same_tvs_plan_the_same(shards):
    """Parts are deterministic bytes: the checksum of a unit says what a shard gave."""
    given = []
    for _ in range(2):
        rounds.run_round()
        given.append(
            set(
                RoundUnit.objects.filter(
                    round=FederationRound.objects.first(), step="sampling"
                ).values_list("shard_id", "checksum")
            )
        )

    assert given[0] == given[1]
    assert len(given[0]) == 3

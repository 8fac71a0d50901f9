"""How a process keeps the current publication, and moves on to the next."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from threading import Event
from typing import NoReturn

import pytest
from django.db import OperationalError, connections
from django.test.utils import CaptureQueriesContext

from federation import holding, publish, rows, watching
from federation.publication import LoadedPublication
from federation.result import RoundResult
from tests.federation.publishing import put_out, stage
from tests.federation.test_durable import environment
from tests.running import BASE_DIR, wait_for
from tests.sync.publishing import publish as publish_for_tvs

pytestmark = pytest.mark.django_db(
    databases=["default", "shard_000", "shard_001"], transaction=True
)

ALIAS, OTHER = "shard_000", "shard_001"


class Reading:
    """How versions are read: each is noted, and waits while it is to be slow."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.has_begun = Event()
        self.may_end = Event()
        self.may_end.set()

    def __call__(self, alias: str, version: int) -> RoundResult:
        self.versions.append(version)
        self.has_begun.set()
        assert self.may_end.wait(timeout=120)
        return read_result(alias, version)

    def hold_up(self) -> None:
        self.has_begun.clear()
        self.may_end.clear()


read_result = rows.read_result


@pytest.fixture
def reading(monkeypatch) -> Iterator[Reading]:
    reading = Reading()
    monkeypatch.setattr(rows, "read_result", reading)
    yield reading
    reading.may_end.set()
    holding.forget()


@pytest.fixture
def retries_at_once(monkeypatch) -> None:
    monkeypatch.setattr(watching, "RETRY_SECONDS", (0.01, 0.1))


@pytest.fixture
def watched() -> Iterator[list[int]]:
    """Version 1 of one shard, watched; gives the versions that were prepared."""
    put_out(ALIAS, 1)
    prepared: list[int] = []
    holding.watch([ALIAS], prepare=lambda each: prepared.append(each.version))
    yield prepared
    holding.forget()


def version_of(alias: str = ALIAS, *, at_least: int = 0) -> int:
    return holding.current(alias, at_least=at_least).version


def staged() -> int | None:
    publication = holding._holders[ALIAS].staged
    return None if publication is None else publication.version


# A process that doesn't serve


def test_the_same_version_is_read_once():
    put_out(ALIAS, 1)

    assert holding.current(ALIAS) is holding.current(ALIAS)


def test_a_new_version_is_seen_at_the_next_call():
    put_out(ALIAS, 1)
    holding.current(ALIAS)

    put_out(ALIAS, 2)

    assert version_of() == 2


def test_what_is_only_staged_is_not_current():
    put_out(ALIAS, 1)

    stage(ALIAS, 2)

    assert version_of() == 1


def test_shards_with_the_same_version_share_one_copy():
    put_out(ALIAS, 1)
    put_out(OTHER, 1)

    assert holding.current(OTHER) is holding.current(ALIAS)


def test_a_shard_that_is_behind_answers_with_its_own_version():
    put_out(ALIAS, 1)
    put_out(OTHER, 1)
    put_out(ALIAS, 2)

    assert (version_of(ALIAS), version_of(OTHER)) == (2, 1)


# A server


def test_a_server_has_the_publication_before_it_is_asked(watched, reading):
    version = version_of()

    assert (version, watched, reading.versions) == (1, [1], [])


def test_a_server_asks_no_database_for_a_request(watched):
    with CaptureQueriesContext(connections[ALIAS]) as queries:
        holding.current(ALIAS)

    assert len(queries) == 0


def test_a_server_notices_a_new_version(watched):
    put_out(ALIAS, 2)

    wait_for(lambda: version_of() == 2)

    assert watched == [1, 2]


def test_a_server_is_told_and_need_not_ask(watched, monkeypatch):
    monkeypatch.setattr(watching, "INTERVAL_SECONDS", 3600)
    put_out(ALIAS, 2)
    # It may have been on its way to sleep for the last short interval.
    wait_for(lambda: version_of() == 2)

    put_out(ALIAS, 3)

    wait_for(lambda: version_of() == 3)


def test_a_server_finds_out_without_being_told(watched, monkeypatch):
    monkeypatch.setattr(publish, "CHANNEL", "nobody_listens")

    put_out(ALIAS, 2)

    wait_for(lambda: version_of() == 2)


def test_what_is_staged_is_read_before_it_is_current(watched, reading):
    edition = stage(ALIAS, 2)
    wait_for(lambda: staged() == 2)
    before = version_of()

    publish.flip(ALIAS, 2, edition.checksum)
    wait_for(lambda: version_of() == 2)

    assert (before, reading.versions, watched) == (1, [2], [1, 2])
    wait_for(lambda: staged() is None)


def test_while_a_version_is_read_all_are_answered_from_the_old_one(watched, reading):
    reading.hold_up()
    put_out(ALIAS, 2)
    assert reading.has_begun.wait(timeout=120)

    meanwhile = version_of()
    reading.may_end.set()

    assert meanwhile == 1
    wait_for(lambda: version_of() == 2)


def test_a_pointer_that_moves_while_a_version_is_read_is_followed(watched, reading):
    reading.hold_up()
    put_out(ALIAS, 2)
    assert reading.has_begun.wait(timeout=120)
    put_out(ALIAS, 3)

    reading.may_end.set()

    wait_for(lambda: version_of() == 3)
    assert watched == sorted(watched)


def test_a_tv_that_was_elsewhere_gets_what_it_has_heard_of(watched, monkeypatch):
    monkeypatch.setattr(publish, "CHANNEL", "nobody_listens")
    put_out(ALIAS, 2)

    assert version_of(at_least=2) == 2


def test_a_tv_that_claims_what_nobody_published_gets_what_there_is(watched):
    assert version_of(at_least=2**62) == 1


def test_a_codebook_that_tvs_have_already_is_looked_for(watched, monkeypatch):
    publish_for_tvs(ALIAS, version=2, codebooks=[7])

    assert holding.newer_codebook(7) is not None
    assert holding.newer_codebook(8) is None


@pytest.mark.usefixtures("retries_at_once")
def test_a_version_that_cant_be_read_is_tried_again(watched, monkeypatch):
    tries: list[int] = []

    def fail(_alias: str, version: int) -> NoReturn:
        tries.append(version)
        raise ValueError("not what was written")

    with monkeypatch.context() as patch:
        patch.setattr(rows, "read_result", fail)
        put_out(ALIAS, 2)
        wait_for(lambda: len(tries) >= 3)
        # One that has heard of it elsewhere isn't kept waiting for it either.
        meanwhile = version_of(at_least=2)

    assert meanwhile == 1
    wait_for(lambda: version_of() == 2)


@pytest.mark.usefixtures("retries_at_once")
def test_a_shard_that_ends_sessions_is_asked_in_a_new_one(watched):
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
              AND backend_type = 'client backend'
            """
        )
        ended = cursor.fetchone()[0]

    put_out(ALIAS, 2)

    assert ended > 0
    wait_for(lambda: version_of() == 2)


@pytest.mark.usefixtures("retries_at_once")
def test_a_server_starts_without_a_shard_and_finds_it_later(monkeypatch):
    put_out(ALIAS, 1)
    connections[ALIAS].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections[ALIAS].settings_dict, "HOST", "/nonexistent")
        holding.watch([ALIAS], prepare=_nothing)
        with pytest.raises(OperationalError):
            holding.current(ALIAS)

    wait_for(lambda: holding._holders[ALIAS].publication is not None)

    assert version_of() == 1
    holding.forget()


def test_shards_that_begin_together_read_once(reading):
    put_out(ALIAS, 1)
    put_out(OTHER, 1)

    holding.watch([ALIAS, OTHER], prepare=_nothing)

    assert holding.current(ALIAS) is holding.current(OTHER)
    assert reading.versions == [1]


SERVER = """
import sys, time
import django
django.setup()
from federation import holding

holding.watch(["shard_000"], prepare=lambda _: None)
told = None
while told != 3:
    version = holding.current("shard_000").version
    if version != told:
        told = version
        print(told, flush=True)
    time.sleep(0.001)
"""


def test_another_process_moves_on_too():
    put_out(ALIAS, 1)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=BASE_DIR,
        env=environment() | {"DJANGO_SETTINGS_MODULE": "constellation_site.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    with server, server.stdout as told:
        first = told.readline()
        put_out(ALIAS, 2)
        second = told.readline()
        put_out(ALIAS, 3)
        third = told.readline()

    assert (first, second, third, server.returncode) == ("1\n", "2\n", "3\n", 0)


def _nothing(_publication: LoadedPublication) -> None:
    """Prepare nothing."""


def test_a_publication_that_was_replaced_goes_without_being_collected(watched):
    """It is as large as all others together, and nobody looks for it in cycles."""
    gone = weakref.ref(holding.current(ALIAS))
    gc.disable()
    try:
        put_out(ALIAS, 2)
        wait_for(lambda: version_of() == 2)

        wait_for(lambda: gone() is None)
    finally:
        gc.enable()

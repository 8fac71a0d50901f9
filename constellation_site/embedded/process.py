"""The server's process: launched, told from strangers, and its leftovers waited for."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from constellation_site.embedded.accounts import Account, run_as
from constellation_site.embedded.configuration import FORGETFUL_SETTINGS, Mode
from constellation_site.embedded.errors import EmbeddedPostgresError
from constellation_site.embedded.log import open_log
from constellation_site.embedded.places import PORT, Place, place_of
from constellation_site.embedded.programs import programs_for
from constellation_site.parent_death import end_with_parent

#: Servers this process has started, kept so that they can be reaped.
_started_here: dict[Path, subprocess.Popen[bytes]] = {}


def launch(
    place: Place, account: Account | None, mode: Mode
) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": f'"{place.sockets}"',
        "unix_socket_permissions": "0700",
        "max_connections": str(mode.max_connections),
        **({} if mode.durable else FORGETFUL_SETTINGS),
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    reap(place)
    with open_log(place) as log:
        process = subprocess.Popen(
            [str(programs_for(account) / "postgres"), "-D", str(place.data), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the supervisor, which stops the database last.
            start_new_session=True,
            # SIGINT is PostgreSQL's "fast" shutdown.
            preexec_fn=end_with_parent(signal.SIGINT),
            **run_as(account),
        )
    _started_here[place.data] = process
    return process


def reap(place: Place) -> None:
    process = _started_here.get(place.data)
    if process is not None and process.poll() is not None:
        del _started_here[place.data]


def postmaster_pid(home: str | Path) -> int | None:
    """The pid of this home's server process, `None` if there is none.

    It may not accept connections yet, or no longer: see `is_running`.
    """
    place = place_of(home)
    pid = _noted_pid(place)
    return pid if pid is not None and _works_in(pid, place.data) else None


def _noted_pid(place: Place) -> int | None:
    try:
        return abs(int(place.pid_file.read_text().splitlines()[0]))
    except (FileNotFoundError, PermissionError, IndexError, ValueError):
        return None


def _works_in(pid: int, directory: Path) -> bool:
    """Whether the process is one of the server's: they all work in its data.

    So may an operator's shell; hence the name as well.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(process.name() == "postgres" and process.cwd() == str(directory))
    except psutil.Error:
        return False


def wait_for_leftovers(place: Place, deadline: float) -> None:
    """Let the children of a killed server end, then forget a pid that is not its.

    PostgreSQL itself clears away a pid that nobody has. One that now belongs to
    a stranger would keep it from starting for ever.
    """
    import psutil

    while left := [pid for pid in psutil.pids() if _works_in(pid, place.data)]:
        if time.monotonic() > deadline:
            message = (
                f"Processes {left} of an earlier PostgreSQL still use {place.data}. "
                "End them, then start again."
            )
            raise EmbeddedPostgresError(message)
        time.sleep(0.1)
    place.pid_file.unlink(missing_ok=True)

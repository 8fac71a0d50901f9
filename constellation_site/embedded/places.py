"""Where the server of one home keeps its data, socket and log.

Inside the home, unless the server's user cannot reach it or a socket's path would be
too long there. Worked out from the home alone, the same before and after a start.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from constellation_site.embedded.directories import SYSTEM_ROOT
from constellation_site.embedded.homes import read_record, real_path, update_record

PORT: Final = 5432  # of the socket's name only; nothing listens on TCP
SOCKET_PATH_LIMIT_BYTES: Final = 107


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


def place_of(home: str | Path) -> Place:
    home = real_path(home)
    record = read_record(home)
    root = Path(record.get("data_root") or _default_root(home))
    sockets = Path(record.get("socket_directory") or _default_sockets(home, root))
    return Place(home=home, root=root, sockets=sockets)


def note_outside_directories(place: Place) -> None:
    """Record what is not inside the home, so that it is found again from there."""
    outside = {}
    if not place.root.is_relative_to(place.home):
        outside["data_root"] = str(place.root)
    if not place.sockets.is_relative_to(place.home):
        outside["socket_directory"] = str(place.sockets)
    if outside:
        update_record(place.home, **outside)


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

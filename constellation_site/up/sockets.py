"""Where the web processes are found by the gate: in a folder nobody else can enter."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from constellation_site import embedded
from sync.gate.channel import channel_path

_LONGEST_NAME = channel_path("000.sock")


def folder_in(home: Path) -> Path:
    """In the home, or a temporary one where a socket's path would be too long."""
    folder = home.resolve() / "web"
    path = os.fsencode(folder / _LONGEST_NAME)
    if len(path) > embedded.SOCKET_PATH_LIMIT_BYTES:
        return Path(tempfile.mkdtemp(prefix="constellation-", dir="/tmp"))
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

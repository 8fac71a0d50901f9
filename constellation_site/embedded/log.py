"""The server's log, and the messages that quote its end."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

from constellation_site.embedded.directories import make_directory
from constellation_site.embedded.places import Place

LOG_LIMIT_BYTES: Final = 16 * 1024 * 1024


def open_log(place: Place) -> BinaryIO:
    """Opened here and inherited: the server's user may not reach the home."""
    path = place.log_file
    make_directory(path.parent)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def why_it_ended(place: Place) -> str:
    tail = "\n".join(_log_tail(place))
    return f"PostgreSQL ended while starting. The end of {place.log_file}:\n{tail}"


def why_it_is_slow(place: Place, seconds: float) -> str:
    tail = "\n".join(_log_tail(place))
    return (
        f"PostgreSQL does not answer after {seconds:.0f} s. If it is still recovering, "
        f"start again: it goes on. The end of {place.log_file}:\n{tail}"
    )


def _log_tail(place: Place, lines: int = 8) -> list[str]:
    if not place.log_file.exists():
        return []
    return place.log_file.read_text(errors="replace").splitlines()[-lines:]

"""One `up` a home: two would start each other's processes twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from constellation_site.up.errors import UpError


@contextlib.contextmanager
def held(home: Path) -> Iterator[None]:
    """Hold the home until the end; a killed holder lets go of it by itself."""
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            raise UpError(
                f"Constellation is already running for {home} (process {holder}). "
                "Use that one, stop it, or choose another CONSTELLATION_HOME."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield

"""An embedded PostgreSQL for the whole suite, in a home of its own.

Loaded with `-p`, before pytest-django reads the settings, because the settings read
the environment. The controller owns the server; xdist's workers inherit its address.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TextIO

import pytest

from constellation_site import embedded

PREFIX = "constellation-test-"
SHARD_COUNT = 10  # the most that any test spreads its TVs over

# Workers of xdist share the machine, and processes that tests start do: threads of each
# would wait for one another. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
HAS_OWN_DATABASES = not IS_WORKER and "POSTGRES_URL" in os.environ


def pytest_configure(config: pytest.Config) -> None:
    if IS_WORKER:
        return
    _remove_abandoned_homes()
    config.add_cleanup(_hold_our_own().close)
    # Registered first, so that an interrupted start is cleaned up as well.
    config.add_cleanup(_remove_home)
    # Being told to end is being interrupted: pytest then still cleans up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not HAS_OWN_DATABASES and not config.option.collectonly:
        embedded.start(HOME, databases=[embedded.CONTROL_DATABASE], durable=False)


def _make_home() -> Path:
    home = Path(tempfile.mkdtemp(prefix=PREFIX))
    # Under root the server runs as another user, who has to pass through.
    home.chmod(0o711)
    embedded.set_shard_count(home, SHARD_COUNT)
    (home / "static").mkdir()  # `up` makes it, and whitenoise warns without it
    os.environ["CONSTELLATION_HOME"] = str(home)
    os.environ["SECRET_KEY"] = "a key for tests, not for anything else"
    return home


def _remove_home() -> None:
    embedded.destroy(HOME)
    shutil.rmtree(HOME, ignore_errors=True)


def _hold_our_own() -> TextIO:
    """Lock the home for as long as this process lives."""
    # Under another name until it is locked: nobody may find it free before.
    draft = HOME / "suite.lock.new"
    lock = draft.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    draft.rename(HOME / "suite.lock")
    return lock


def _hold(lock_file: Path) -> TextIO | None:
    """Lock a home that nobody holds; None if another process does."""
    lock = lock_file.open("r")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _remove_abandoned_homes() -> None:
    """Homes of runs that were killed: their locks are free, their servers ended."""
    for lock_file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/suite.lock"):
        # Suppressed: another run, starting as well, was quicker.
        with contextlib.suppress(FileNotFoundError):
            if lock_file.stat().st_uid != os.geteuid():
                continue
            if lock := _hold(lock_file):
                shutil.rmtree(lock_file.parent, ignore_errors=True)
                lock.close()


HOME = Path(os.environ["CONSTELLATION_HOME"]) if IS_WORKER else _make_home()

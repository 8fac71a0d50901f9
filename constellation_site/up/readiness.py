"""Waiting until the web processes answer."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta

from constellation_site.up.errors import UpError

PATIENCE = timedelta(minutes=2)

# Straight to this machine, whatever proxy the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait(url: str, *, meanwhile: Callable[[], None]) -> None:
    """Return once `url` answers 200; raise `UpError` when it takes too long."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while problem := _problem(url):
        meanwhile()
        if time.monotonic() > deadline:
            seconds = PATIENCE.total_seconds()
            raise UpError(f"{url} does not answer after {seconds:.0f} s: {problem}")
        time.sleep(0.2)


def _problem(url: str) -> str:
    try:
        with _opener.open(url, timeout=5) as response:
            return "" if response.status == 200 else f"status {response.status}"
    except OSError as exc:  # urllib's errors are
        return str(exc)

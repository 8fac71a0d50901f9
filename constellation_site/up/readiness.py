"""Waiting until the web and gRPC processes answer."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta

from constellation_site.up.errors import UpError
from constellation_site.up.options import split_address

PATIENCE = timedelta(minutes=2)

# Straight to this machine, whatever proxy the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait(url: str, *, meanwhile: Callable[[], None]) -> None:
    """Return once `url` answers 200; raise `UpError` when it takes too long."""
    _wait(url, lambda: _problem_with_url(url), meanwhile)


def wait_for_port(address: str, *, meanwhile: Callable[[], None]) -> None:
    """Return once somebody listens there: who does so only when it can answer."""
    _wait(address, lambda: _problem_with_port(address), meanwhile)


def _wait(place: str, problem_of: Callable[[], str], tend: Callable[[], None]) -> None:
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while problem := problem_of():
        tend()
        if time.monotonic() > deadline:
            seconds = PATIENCE.total_seconds()
            raise UpError(f"{place} does not answer after {seconds:.0f} s: {problem}")
        time.sleep(0.2)


def _problem_with_port(address: str) -> str:
    try:
        socket.create_connection(split_address(address), timeout=5).close()
    except OSError as exc:
        return str(exc)
    return ""


def _problem_with_url(url: str) -> str:
    try:
        with _opener.open(url, timeout=5) as response:
            return "" if response.status == 200 else f"status {response.status}"
    except OSError as exc:  # urllib's errors are
        return str(exc)

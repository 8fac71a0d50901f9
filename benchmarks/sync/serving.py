"""Peers behind the product's own server: granian, one process a core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.installation import BASE_DIR, end_process, free_addresses
from benchmarks.sync.machine import MachineError

START_SECONDS = 60
POLL_SECONDS = 0.1


@contextmanager
def granian(
    target: str, *, threads: int, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Serve a WSGI application: its address, and the process above its workers."""
    (address,) = free_addresses(1)
    host, port = address.split(":")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface", "wsgi"),
            *("--host", host, "--port", port, "--workers", str(os.cpu_count())),
            *("--blocking-threads", str(threads), "--no-ws", "--log-level", "error"),
            target,
        ],
        cwd=BASE_DIR,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(address, process)
        yield address, process.pid
    finally:
        end_process(process)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(POLL_SECONDS)
    raise MachineError(f"nobody answers at {address}")

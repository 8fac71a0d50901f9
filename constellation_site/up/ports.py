"""Are the addresses free? Asked before anything is started."""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass
from datetime import timedelta

from constellation_site.up.errors import UpError
from constellation_site.up.options import Options, split_address

#: The processes of an `up` that was killed need a moment to let go of theirs.
PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True)
class Door:
    """An address to listen on, and what moves it elsewhere."""

    purpose: str
    address: str
    option: str
    variable: str


def check(options: Options) -> None:
    """Raise `UpError` if an address cannot be had, naming the option that moves it."""
    doors = [
        Door(
            "the API and the console", options.rest_address, "--rest-addr", "REST_ADDR"
        ),
        Door("gRPC", options.grpc_address, "--grpc-addr", "GRPC_ADDR"),
        Door("metrics", options.metrics_address, "--metrics-addr", "METRICS_ADDR"),
    ]
    deadline = time.monotonic() + PATIENCE.total_seconds()
    for door in doors:
        while problem := _problem(door.address):
            if problem.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise UpError(_explain(door, problem))
            time.sleep(0.2)


def _problem(address: str) -> OSError | None:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            return exc
    return None


def _explain(door: Door, problem: OSError) -> str:
    host, port = split_address(door.address)
    elsewhere = f"{host}:{port + 1 if port < 65535 else 8080}"
    if problem.errno == errno.EADDRINUSE:
        reason = f"Port {port} is taken, and {door.purpose} would answer there."
    else:
        reason = f"Cannot listen on {door.address} for {door.purpose}: {problem}."
    return (
        f"{reason} Choose another with {door.option} {elsewhere} "
        f"(or {door.variable}={elsewhere})."
    )

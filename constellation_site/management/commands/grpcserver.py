"""``manage.py grpcserver``: TVs and operators over gRPC, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from constellation_site import environment, health
from constellation_site.one_core import use_one_core
from shards import stopping
from shards.stopping import NOTICE_SECONDS, StopFlag
from sync import current
from sync.grpc_door.server import Certificate, DoorServer
from sync.threads import DatabaseThreads

#: What the names of all threads begin with that ask databases.
THREADS = "grpc-door"

#: For threads that are still at work when nobody waits for their answer any more.
LAST_PATIENCE = timedelta(seconds=2)

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = (
        "Answer TVs over gRPC (constellation.v1.SyncService, health, reflection) until "
        "SIGTERM; calls under way are finished first. `up` runs it; run some yourself "
        "where you start the processes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--grpc-addr",
            default=settings.GRPC_ADDR,
            metavar="HOST:PORT",
            help="Where to answer (GRPC_ADDR; default: %(default)s).",
        )
        parser.add_argument(
            "--share-port",
            action="store_true",
            dest="shares_port",
            help="Let further processes answer at the same port; the kernel spreads "
            "the connections. One a core.",
        )

    def handle(self, *, grpc_addr: str, shares_port: bool, **_: Any) -> None:
        address = _address(grpc_addr)
        _check_is_free(address, shares_port=shares_port)
        use_one_core()
        executor = DatabaseThreads(settings.REQUEST_THREADS, THREADS)
        current.watch()
        with stopping.requested() as is_stopped:
            asyncio.run(self._serve(address, executor, is_stopped, shares_port))
            _end(executor)

    async def _serve(
        self,
        address: str,
        executor: Executor,
        is_stopped: StopFlag,
        shares_port: bool,
    ) -> None:
        server = DoorServer(
            executor,
            threads=settings.REQUEST_THREADS,
            is_ready=health.is_ready,
            shares_port=shares_port,
        )
        try:
            port = await server.start(address, _certificate())
        except (RuntimeError, OSError, ValueError) as exc:
            raise CommandError(f"gRPC can't be served on {address}: {exc}") from exc
        self.stderr.write(f"gRPC on port {port}.", style_func=str)
        while not is_stopped.is_set():
            await asyncio.sleep(NOTICE_SECONDS)
        await server.stop()


def _certificate() -> Certificate | None:
    if settings.GRPC_TLS_CERT_FILE is None or settings.GRPC_TLS_KEY_FILE is None:
        return None
    return Certificate(
        certificate_file=settings.GRPC_TLS_CERT_FILE,
        key_file=settings.GRPC_TLS_KEY_FILE,
    )


def _address(given: str) -> str:
    try:
        return environment.parse_address(given)
    except ValueError as exc:
        raise CommandError(f"--grpc-addr {given!r} is not host:port.") from exc


def _check_is_free(address: str, *, shares_port: bool) -> None:
    """Say why an address can't be had; gRPC itself only says that it can't."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gRPC does: what was just closed may be taken again.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as exc:
            raise CommandError(
                f"gRPC can't be served on {address}: {exc.strerror}. Choose another "
                "address with --grpc-addr or GRPC_ADDR."
            ) from exc


def _end(executor: Executor) -> None:
    """Let the threads end; those that a database holds for too long, the process does.

    What they would still commit was answered to nobody, and its TV sends it again.
    """
    executor.shutdown(wait=False, cancel_futures=True)
    deadline = time.monotonic() + LAST_PATIENCE.total_seconds()
    while any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            log.warning("gRPC calls cut off: their databases did not answer in time")
            os._exit(0)
        time.sleep(NOTICE_SECONDS)

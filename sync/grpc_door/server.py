"""Listens, tells its health, and ends in order.

Ending: health says no, streams are sent away, no new call is taken, those under way
have a while to finish. What is cut off then was not answered, so its TV sends it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import structlog
from django.conf import settings
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from sync.grpc_door.health import Health
from sync.grpc_door.servicer import SERVICE, STREAMS_LIMIT, Servicer
from sync.grpc_door.workers import Workers
from sync.threads import DatabaseThreads

#: How often health is asked anew.
HEALTH_INTERVAL = timedelta(seconds=5)

#: For calls under way when the server stops; shorter than `up` waits for the process.
GRACE = timedelta(seconds=10)

#: Calls at once, those of streams included. More than streams and ``Workers`` let in,
#: which say a code: this bounds what comes in spite of it, and the memory it takes.
CONCURRENT_CALLS_LIMIT = 2 * STREAMS_LIMIT

_MINUTE_MS = 60_000

#: What a stranger may take of the server, per connection.
LIMITS = (
    # Of what is inflated too. Larger than the limit of ours, which says a code.
    ("grpc.max_receive_message_length", 2 * settings.BODY_LIMIT_BYTES),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", STREAMS_LIMIT),
    ("grpc.server_handshake_timeout_ms", 20_000),
    # A TV that is gone is noticed; one that pings without a reason is cut off.
    ("grpc.keepalive_time_ms", _MINUTE_MS),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ("grpc.http2.max_ping_strikes", 2),
    # A TV comes back in minutes: a connection isn't worth keeping for it.
    ("grpc.max_connection_idle_ms", 2 * _MINUTE_MS),
    # So that load balancers spread what stays, over servers that came later too.
    ("grpc.max_connection_age_ms", 30 * _MINUTE_MS),
    ("grpc.max_connection_age_grace_ms", _MINUTE_MS),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """PEM files of a certificate, with those between it and its root, and its key."""

    certificate_file: Path
    key_file: Path

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials(
            [(self.key_file.read_bytes(), self.certificate_file.read_bytes())]
        )


class DoorServer:
    """The gRPC door of one process; lives in one event loop."""

    def __init__(
        self,
        executor: Executor,
        *,
        threads: int,
        is_ready: Callable[[], bool],
        health_interval: timedelta = HEALTH_INTERVAL,
        shares_port: bool = False,
    ) -> None:
        self.is_stopping = False
        self._is_ready = is_ready
        self._health_interval = health_interval
        self._probes = DatabaseThreads(1, "grpc-door-health")
        self._servicer = Servicer(Workers(executor, threads=threads))
        self._health = Health(("", SERVICE))
        self._server = aio.server(
            options=(*LIMITS, ("grpc.so_reuseport", int(shares_port))),
            maximum_concurrent_rpcs=CONCURRENT_CALLS_LIMIT,
        )
        self._server.add_generic_rpc_handlers((self._servicer.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME), self._server
        )

    async def start(self, address: str, certificate: Certificate | None = None) -> int:
        """Listen at ``host:port`` and return the port; RuntimeError if it can't be."""
        if certificate is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, certificate.credentials())
        await self._tell_health()  # before anybody can ask
        await self._server.start()
        self._telling = asyncio.create_task(self._keep_telling_health())
        return port

    async def stop(self, grace: timedelta = GRACE) -> None:
        self.is_stopping = True
        self._telling.cancel()
        self._health.end()
        self._servicer.stop_streams()
        await self._server.stop(grace.total_seconds())
        self._probes.shutdown(wait=False, cancel_futures=True)

    async def _keep_telling_health(self) -> None:
        while True:
            await asyncio.sleep(self._health_interval.total_seconds())
            await self._tell_health()

    async def _tell_health(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            is_ready = await loop.run_in_executor(self._probes, self._is_ready)
        except Exception:
            # Asked again soon: a probe that broke once must not be the last.
            log.exception("gRPC health could not be told")
            is_ready = False
        self._health.tell(is_ready=is_ready)

"""gRPC's standard health service, for probes and load balancers.

Not the one of ``grpc_health``: there, whoever watches and doesn't read holds up what
others are told, and the end of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TypeAlias

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2

#: Calls of ``Watch`` open at once: anybody may watch, without a token.
WATCHERS_LIMIT = 100

_Request: TypeAlias = health_pb2.HealthCheckRequest
_Response: TypeAlias = health_pb2.HealthCheckResponse
_Context: TypeAlias = aio.ServicerContext[_Request, _Response]


class Health:
    """The same status under each name; belongs to the event loop, and never waits."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._status = _Response.NOT_SERVING
        self._is_over = False
        self._watcher_count = 0
        #: Set when something changes; then there is another one.
        self._changed = asyncio.Event()

    def tell(self, *, is_ready: bool) -> None:
        if not self._is_over:
            self._change(_Response.SERVING if is_ready else _Response.NOT_SERVING)

    def end(self) -> None:
        """Say no for good, and let go of those who watch."""
        self._is_over = True
        self._change(_Response.NOT_SERVING)

    async def Check(  # noqa: N802 -- its name in the service
        self, request: _Request, context: _Context
    ) -> _Response:
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return _Response(status=self._status)

    async def List(  # noqa: N802 -- its name in the service
        self, _request: health_pb2.HealthListRequest, _context: _Context
    ) -> health_pb2.HealthListResponse:
        status = _Response(status=self._status)
        return health_pb2.HealthListResponse(
            statuses=dict.fromkeys(self._names, status)
        )

    async def Watch(  # noqa: N802 -- its name in the service
        self, request: _Request, context: _Context
    ) -> None:
        if self._watcher_count >= WATCHERS_LIMIT:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many are watching. Ask Check."
            )
        self._watcher_count += 1
        try:
            await self._keep_telling(request.service, context)
        finally:
            self._watcher_count -= 1

    async def _keep_telling(self, name: str, context: _Context) -> None:
        told = None
        while True:
            is_over, changed = self._is_over, self._changed
            status = self._status if name in self._names else _Response.SERVICE_UNKNOWN
            if status != told:
                await context.write(_Response(status=status))
                told = status
            if is_over:
                return
            await changed.wait()

    def _change(self, status: int) -> None:
        self._status = status
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

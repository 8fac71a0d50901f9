"""A web process answers the syncs that a gate brings whole."""

from __future__ import annotations

import asyncio
import logging

from sync.event_door import Door, environ_of
from sync.gate import http1, writing
from sync.gate.frames import Frames, frame
from sync.gate.refusals import ORDER

logger = logging.getLogger(__name__)


class ChannelServer:
    """Listens at a socket's path for gates, on an event loop."""

    def __init__(self, door: Door, path: str) -> None:
        self._door = door
        self._path = path
        self._server: asyncio.Server | None = None
        self._open: set[_Answering] = set()

    async def open(self) -> None:
        """Raises ``OSError`` if it can't listen there."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: _Answering(self._door, self._open), self._path
        )

    async def close(self) -> None:
        """Take no more, and answer what came."""
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(each.close() for each in list(self._open)))


async def answer_to(request: bytes, door: Door) -> bytes:
    """Give the answer to a usual sync as HTTP, or the refusals that are ordered."""
    if request.startswith(ORDER):
        return writing.refusals(request)
    headers, body = http1.read(request)
    return http1.written(*await door.answer_whole(environ_of(headers.get), body))


class _Answering(asyncio.Protocol):
    """One gate."""

    _transport: asyncio.Transport
    _lost: asyncio.Event

    def __init__(self, door: Door, opened: set[_Answering]) -> None:
        self._door = door
        self._opened = opened
        self._frames = Frames()
        self._answering: set[asyncio.Task[None]] = set()
        self._outgoing: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._lost = asyncio.Event()
        self._opened.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._lost.set()
        self._opened.discard(self)

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        for number, request in self._frames.of(data):
            answering = loop.create_task(self._answer(number, request))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)

    async def close(self) -> None:
        self._transport.pause_reading()
        if self._answering:
            await asyncio.wait(self._answering)
        self._flush()
        self._transport.close()
        await self._lost.wait()

    async def _answer(self, number: int, request: bytes) -> None:
        try:
            answer = await answer_to(request, self._door)
        except Exception:
            logger.exception("A sync could not be answered.")
            answer = b""
        # With all that are ready in this turn.
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(frame(number, answer))

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and not self._transport.is_closing():
            self._transport.write(b"".join(outgoing))

"""What a server's event loop hands over, and how it is answered: RSGI.

https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias
from typing import Protocol as Interface

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # not in __all__

from sync.exchange import Reply


class Headers(Interface):
    """Names are in lower case."""

    def get(self, key: str, default: Any = None) -> Any: ...
    def items(self) -> list[tuple[str, str]]: ...


class Scope(Interface):
    """The head of a request."""

    http_version: str
    #: Host and port.
    server: str
    client: str
    scheme: str
    method: str
    #: Decoded.
    path: str
    query_string: str

    @property
    def headers(self) -> Headers: ...


class Protocol(Interface):
    """The body of a request, and the way to answer it."""

    def __call__(self) -> Awaitable[bytes]: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_bytes(
        self, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None: ...


Application: TypeAlias = Callable[[Scope, Protocol], Awaitable[None]]


async def read(protocol: Protocol) -> bytes | None:
    """Read a whole body, whose length is known; None if whoever sends it is gone."""
    try:
        return await protocol()
    except ProtocolClosed:
        return None


async def read_up_to(limit: int, protocol: Protocol) -> bytes | None:
    """Read a body until it has more bytes than that; None if its sender is gone."""
    body = b""
    try:
        async for chunk in protocol:
            body += chunk
            if len(body) > limit:
                break
    except ProtocolClosed:
        return None
    return body


def respond(protocol: Protocol, reply: Reply) -> None:
    """Send an answer, with its length, to whoever is still there."""
    with suppress(ProtocolClosed):
        protocol.response_bytes(reply.status, reply.headers, reply.body)

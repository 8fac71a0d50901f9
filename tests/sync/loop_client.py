"""The door on the event loop for TVs of tests, in the thread and transaction of a test.

Usual syncs come to it whole, as a gate passes them on; all else as from a server. Only
what would leave that thread is replaced: the connection on which groups are written,
and the threads behind the door.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse

from patterns.services import group_commit, loop_commit
from sync import answer, event_door, front_door, threads
from sync.gate import heads, serving
from sync.gate.http1 import HEAD_END
from sync.together import SearchTogether


@dataclass
class Scope:
    """The head of a request, as a server hands it over."""

    path: str
    headers: Headers
    method: str = "POST"
    query_string: str = ""
    http_version: str = "1.1"
    server: str = "tv.example:80"
    client: str = "192.0.2.1:4000"
    scheme: str = "http"


class Headers(dict[str, str]):
    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return [*super().items()]


@dataclass
class Protocol:
    """The body of a request, and what it was answered."""

    body: bytes
    chunk_bytes: int = 1 << 16
    read_bytes: int = 0
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    answer: bytes = b""

    async def __call__(self) -> bytes:
        self.read_bytes = len(self.body)
        return self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = io.BytesIO(self.body)
        while chunk := stream.read(self.chunk_bytes):
            self.read_bytes += len(chunk)
            yield chunk

    def response_bytes(
        self, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        assert self.status == 0, "it was answered before"
        self.status, self.headers, self.answer = int(status), headers, body


def head(
    path: str, data: bytes, *, content_type: str, headers: Mapping[str, str]
) -> Scope:
    told = {"content-type": content_type, "content-length": str(len(data))}
    told |= {name.lower().replace("_", "-"): value for name, value in headers.items()}
    return Scope(path, Headers(told))


def post(
    path: str, data: bytes, *, content_type: str, headers: Mapping[str, str]
) -> Any:
    """Post something, and give what Django's own test client would."""
    protocol = Protocol(data)
    scope = head(path, data, content_type=content_type, headers=headers)
    whole = as_http(scope, data)
    with _in_this_thread():
        if heads.sync_bytes_missing(whole) == 0:
            run(_answer_whole(whole, protocol))
        else:
            run(_IN_FRONT(scope, protocol))
    response = HttpResponse(
        protocol.answer, status=protocol.status, headers=dict(protocol.headers)
    )
    response.json = lambda: orjson.loads(response.content)  # type: ignore[attr-defined]
    return response


_IN_THREADS = front_door.in_front_of(WSGIHandler())


async def _application(scope: Any, protocol: Any) -> None:
    environ = threads.environ_of(scope)
    environ["wsgi.input"] = io.BytesIO(protocol.body)
    reply = threads.run(_IN_THREADS, environ)
    protocol.response_bytes(reply.status, reply.headers, reply.body)


_DOOR = event_door.Door()
_IN_FRONT = event_door.in_front_of(_application, _DOOR)


def as_http(scope: Scope, body: bytes) -> bytes:
    """Write a request as a TV sends it."""
    lines = [f"{scope.method} {scope.path} HTTP/1.1", "host: tv.example"]
    lines += [f"{name}: {value}" for name, value in scope.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def _answer_whole(request: bytes, protocol: Protocol) -> None:
    head, _, body = (await serving.answer_to(request, _DOOR)).partition(HEAD_END)
    line, *lines = head.decode().split("\r\n")
    headers = [
        (name, value) for name, _, value in (each.partition(": ") for each in lines)
    ]
    assert dict(headers)["Content-Length"] == str(len(body))
    protocol.response_bytes(int(line.split(" ")[1]), headers, body)


def run(answering: Any) -> None:
    """Take all steps at once: nothing is left that would have to be waited for."""
    with suppress(StopIteration):
        answering.send(None)
        pytest.fail("It waits for something.")


def _in_this_thread() -> ExitStack:
    """Without an event loop, in which Django would use another connection."""

    class Groups:
        def __init__(self, shard_alias: str) -> None:
            self._groups = group_commit.of(shard_alias)

        async def write(self, sync: Any) -> Any:
            return self._groups.write(sync)

    async def call(_door: Any, function: Any, *given: Any) -> Any:
        return function(*given)

    async def similar(_together: Any, publication: Any, tastes: Any) -> Any:
        return answer.similar(publication, [tastes])[0]

    stack = ExitStack()
    stack.enter_context(patch.object(loop_commit, "of", Groups))
    stack.enter_context(patch.object(event_door.Door, "in_thread", call))
    stack.enter_context(patch.object(SearchTogether, "similar", similar))
    return stack

"""Threads behind an event loop, and a WSGI application in them.

The loop reads a request's body before a thread is asked for: nobody holds one by being
slow. A body is read no further than any door would accept it, and not at all if it says
that it is longer: the application refuses both.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from django.conf import settings
from django.db import close_old_connections

from sync import parsers
from sync.event_loop import Application, Protocol, Scope, read_up_to, respond
from sync.exchange import Reply


class DatabaseThreads(ThreadPoolExecutor):
    """Do before and after each call what Django does for each request.

    Connections are kept, but one that broke is closed, and a kept one is asked whether
    it still answers.
    """

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        return super().submit(_with_good_connections, fn, *args, **kwargs)


def in_threads(application: WSGIApplication, threads: int) -> Application:
    """Run an application in so many threads."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")

    async def answer(scope: Scope, protocol: Protocol) -> None:
        environ = environ_of(scope)
        body = await _body(environ, protocol)
        if body is None:
            return
        environ["wsgi.input"] = io.BytesIO(body)
        loop = asyncio.get_running_loop()
        respond(
            protocol, await loop.run_in_executor(executor, run, application, environ)
        )

    return answer


def run(application: WSGIApplication, environ: WSGIEnvironment) -> Reply:
    """Have a WSGI application answer."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: list[tuple[str, str]] = []
    parts: list[bytes] = []

    def start_response(
        line: str, given: list[tuple[str, str]], _error: Any = None
    ) -> Any:
        nonlocal status
        status = HTTPStatus(int(line.split(" ", 1)[0]))
        # Django writes some with a space before them.
        headers[:] = [(name, value.strip()) for name, value in given]
        return parts.append

    chunks = application(environ, start_response)
    try:
        parts += chunks
    finally:
        if close := getattr(chunks, "close", None):
            close()
    return Reply(status, headers, b"".join(parts))


async def _body(environ: WSGIEnvironment, protocol: Protocol) -> bytes | None:
    limit: int = settings.BODY_LIMIT_BYTES
    length = parsers.content_length(environ)
    if length is not None and length > limit:
        return b""
    return await read_up_to(limit, protocol)


def environ_of(scope: Scope) -> WSGIEnvironment:
    """Give the head of a request as WSGI has it."""
    host, _, port = scope.server.rpartition(":")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        # As WSGI has all text: bytes, each of which is a character.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        # The body is all there.
        "wsgi.input_terminated": True,
    }
    for name, value in scope.headers.items():
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _with_good_connections(
    function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    close_old_connections()
    try:
        return function(*args, **kwargs)
    finally:
        close_old_connections()

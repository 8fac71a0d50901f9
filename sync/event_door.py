"""``POST /api/v1/sync`` on an event loop, for what TVs usually send.

A thread for each sync would wait for a database most of the time, and threads that wake
up contend for the interpreter: that took as long as all that is done for a sync. Here
one loop reads and answers all of a process, and writes what they bring in groups.
Whatever takes long or may have to wait (JSON, large bodies, a publication that isn't
read yet) is left to the threads behind this door.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation

from sync import exchange, front_door, load, negotiation, parsers, service
from sync.event_loop import Application, Protocol, Scope, read, respond
from sync.exchange import Exchange, Reply
from sync.threads import DatabaseThreads
from sync.together import SearchTogether

#: A usual delta has 1 KB.
LARGEST_BODY_BYTES = 8192

#: For what is tried alone, or has to wait for a publication.
THREADS = 8

#: As much of a head as an exchange looks at.
_NAMES = (
    ("authorization", "HTTP_AUTHORIZATION"),
    ("accept", "HTTP_ACCEPT"),
    ("accept-encoding", "HTTP_ACCEPT_ENCODING"),
    ("content-encoding", "HTTP_CONTENT_ENCODING"),
    ("content-length", "CONTENT_LENGTH"),
    ("content-type", "CONTENT_TYPE"),
)

_USUAL_MEDIA_TYPES = frozenset(exchange.MEDIA_TYPES[1:])

Environ = dict[str, Any]


def in_front_of(application: Application, door: Door) -> Application:
    """Answer usual syncs, and leave everything else to an application."""

    async def answer_or_pass_on(scope: Scope, protocol: Protocol) -> None:
        if scope.path != front_door.PATH or scope.method != "POST":
            await application(scope, protocol)
            return
        if not load.has_place_on_loop():
            # Whatever it brings: before anybody looks.
            respond(protocol, exchange.sent_away())
            return
        environ = environ_of(scope.headers.get)
        if not _is_usual(environ):
            await application(scope, protocol)
            return
        reply = await door.answer(environ, protocol)
        if reply is not None:
            respond(protocol, reply)

    return answer_or_pass_on


class Door:
    """What the syncs of one event loop share."""

    def __init__(self) -> None:
        self._together = SearchTogether()
        self._threads = DatabaseThreads(THREADS, thread_name_prefix="sync")

    async def answer(self, environ: Environ, protocol: Protocol) -> Reply | None:
        """Answer a sync or refuse it; None if the TV went away meanwhile."""
        sync = Exchange(environ)
        refusal = _look_at_head(sync, environ)
        if refusal is not None:
            return refusal
        # Without a place yet: a TV may take its time to send the body.
        body = await read(protocol)
        if body is None:
            return None
        return await self._answer_in_place(sync, environ, body)

    async def answer_whole(self, environ: Environ, body: bytes) -> Reply:
        """Do so for one whose body is there already."""
        if not load.has_place_on_loop():
            return exchange.sent_away()
        sync = Exchange(environ)
        refusal = _look_at_head(sync, environ)
        if refusal is not None:
            return refusal
        return await self._answer_in_place(sync, environ, body)

    async def _answer_in_place(
        self, sync: Exchange, environ: Environ, body: bytes
    ) -> Reply:
        if not load.take_place_on_loop():
            return exchange.sent_away()
        try:
            environ["wsgi.input"] = io.BytesIO(body)
            return await self._answer(sync, environ)
        except SynchronousOnlyOperation:
            environ["wsgi.input"].seek(0)
            reply: Reply = await self.in_thread(_answer_in_thread, environ)
            return reply
        finally:
            load.give_place_on_loop_back()

    async def _answer(self, sync: Exchange, environ: Environ) -> Reply:
        try:
            message = sync.read()
            reply = sync.answer(
                await service.sync_soon(
                    sync.token,
                    message,
                    sync.source,
                    started=sync.started,
                    together=self._together,
                    in_thread=self.in_thread,
                )
            )
        except SynchronousOnlyOperation:
            raise  # and counted when it is answered
        except Exception as exc:
            return _refused(sync, environ, exc)
        sync.record(reply)
        return reply

    async def in_thread(self, function: Callable[..., Any], *given: Any) -> Any:
        """Call what may have to wait."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *given)


def _look_at_head(sync: Exchange, environ: Environ) -> Reply | None:
    """Refuse all that can be refused before the body is read."""
    try:
        sync.open()
    except Exception as exc:
        return _refused(sync, environ, exc)
    return None


def _refused(sync: Exchange, environ: Environ, exc: Exception) -> Reply:
    """Say what is wrong; a bug of ours is logged and answered like any."""
    try:
        reply = sync.refuse_or_raise(exc)
    except Exception as bug:
        sync.record(None)
        return exchange.failed(environ, bug)
    sync.record(reply)
    return reply


def _answer_in_thread(environ: Environ) -> Reply:
    try:
        return front_door.answer_admitted(environ)
    except Exception as exc:
        return exchange.failed(environ, exc)


def environ_of(header: Callable[[str], str | None]) -> Environ:
    """Give the head of a sync as WSGI has it; headers are asked for by name."""
    environ: Environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": front_door.PATH,
        # For the log of what went wrong.
        "SERVER_NAME": "",
        "SERVER_PORT": "",
        "QUERY_STRING": "",
    }
    for name, key in _NAMES:
        value = header(name)
        if value is not None:
            environ[key] = value
    return environ


def _is_usual(environ: Environ) -> bool:
    length = parsers.content_length(environ)
    return (
        length is not None
        and 0 <= length <= LARGEST_BODY_BYTES
        and negotiation.bare(environ.get("CONTENT_TYPE", "")) in _USUAL_MEDIA_TYPES
    )

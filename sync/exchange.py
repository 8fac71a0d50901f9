"""One sync over HTTP, from the head of its request to the answer.

Its steps are the same whoever takes them: a thread, which waits for the database
between them, or an event loop, which doesn't.
"""

from __future__ import annotations

import time
from functools import cache
from http import HTTPStatus
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

from django.core.handlers.exception import response_for_exception
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse

from shards import tokens
from shards.exceptions import ConstellationError
from shards.tokens import DeviceToken
from sync import load, metrics, negotiation, parsers, problems, replies, service, wires
from sync.authentication import check_shard_is_served
from sync.current import PublicationSource
from sync.exceptions import NotAcceptable, Overloaded, UnsupportedMediaType
from sync.messages import SyncReply, SyncRequest
from sync.renderers import JsonRenderer, OldProtobufRenderer, ProtobufRenderer

#: What TVs write and read; the first is for whoever has no wish.
MEDIA_TYPES = (
    JsonRenderer.media_type,
    ProtobufRenderer.media_type,
    OldProtobufRenderer.media_type,
)


class Reply(NamedTuple):
    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: bytes


class Exchange:
    """The steps in their order: ``open``, ``read``, ``answer``, ``record``.

    What any of them raises is for ``refuse_or_raise``.
    """

    __slots__ = (
        *("_environ", "_media_type", "_wishes", "_written_as"),
        *("shard_id", "source", "started", "status", "token"),
    )

    token: DeviceToken
    #: The publication that it is read by and answered from.
    source: PublicationSource

    def __init__(self, environ: WSGIEnvironment) -> None:
        #: By ``time.perf_counter``.
        self.started = time.perf_counter()
        self.shard_id: int | None = None
        #: In the words of ``sync/metrics.py``.
        self.status = ConstellationError.code
        self._environ = environ

    def open(self) -> None:
        """Look at the head: all that can be refused before the body is read."""
        environ = self._environ
        self._media_type = _wished_media_type(environ)
        self.token = tokens.read(environ.get("HTTP_AUTHORIZATION"))
        self.shard_id = self.token.shard_id
        check_shard_is_served(self.token)
        self._written_as = _media_type_of_body(environ)
        self.source = service.publication_for(self.token)

    def read(self) -> SyncRequest:
        """Read the body, which the environ has."""
        body = parsers.of_media_type(self._written_as, self._environ)
        message = wires.of_media_type(self._written_as).read_sync(body, self.source)
        self._wishes = message.wishes
        return message

    def answer(self, reply: SyncReply) -> Reply:
        """Write an answer as the TV wants it."""
        self.status = "retry" if reply.is_retry else "ok"
        wire = wires.of_media_type(self._media_type)
        body, headers = replies.for_tv(
            wire.write_sync(reply, self._wishes),
            wire.media_type,
            accept_encoding=self._environ.get("HTTP_ACCEPT_ENCODING", ""),
            is_dense=wire.is_dense(self._wishes),
        )
        return Reply(HTTPStatus.OK, headers, body)

    def refuse_or_raise(self, exc: Exception) -> Reply:
        """Write what is wrong; raises it again if it is a bug of ours."""
        error = problems.translated(exc, {})
        if error is None:
            raise exc
        self.status = error.code
        return refused(error)

    def record(self, reply: Reply | None) -> None:
        metrics.record_sync(
            shard_id=self.shard_id,
            status=self.status,
            seconds=time.perf_counter() - self.started,
            # Counted, not claimed: a Content-Length may be anything, or missing.
            received_bytes=self._environ.get(parsers.RECEIVED_BYTES, 0),
            sent_bytes=len(reply.body) if reply else 0,
        )


def refused(error: ConstellationError) -> Reply:
    reply = written(problems.response(error))
    reply.headers.append(("Vary", "Accept"))
    return reply


def failed(environ: WSGIEnvironment, exc: Exception) -> Reply:
    """Log a bug of ours, and write what is said of it."""
    return written(response_for_exception(WSGIRequest(environ), exc))


def written(response: HttpResponse) -> Reply:
    status = HTTPStatus(response.status_code)
    return Reply(status, list(response.items()), response.content)


def sent_away() -> Reply:
    """Refuse a sync unread, for next to nothing: there may be thousands a second."""
    metrics.record_sent_away()
    prepared = overloaded()
    seconds = str(load.retry_after_seconds())
    headers = [
        (name, seconds if name == "Retry-After" else value)
        for name, value in prepared.headers
    ]
    body = prepared.body.replace(SOME_SECONDS, seconds.encode())
    return Reply(prepared.status, headers, body)


#: Stands for a number of seconds; nothing else in the answer looks like it.
SOME_SECONDS = b"987654321"


@cache
def overloaded() -> Reply:
    """What is said to one for whom there is no place, but for the seconds."""
    return refused(Overloaded(retry_after_seconds=int(SOME_SECONDS)))


def _wished_media_type(environ: WSGIEnvironment) -> str:
    wished = negotiation.best_media_type(
        MEDIA_TYPES,
        accept=environ.get("HTTP_ACCEPT", ""),
        content_type=environ.get("CONTENT_TYPE", ""),
    )
    if wished is None:
        raise NotAcceptable(available=", ".join(MEDIA_TYPES))
    return wished


def _media_type_of_body(environ: WSGIEnvironment) -> str:
    content_type = environ.get("CONTENT_TYPE", "")
    media_type = negotiation.bare(content_type)
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMediaType(
            media_type=content_type[:64] or "(none)", accepted=", ".join(MEDIA_TYPES)
        )
    return media_type

"""``POST /api/v1/sync`` straight from WSGI: what a TV learned in, what all did out.

What Django does around a view is for people and their browsers, and took most of the
time of a sync: so syncs are answered in front of it. ``SyncViewSet`` answers by the
same code where a request comes through Django after all.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from django.core.handlers.exception import response_for_exception
from django.core.handlers.wsgi import WSGIRequest
from django.db import connections
from django.http import HttpResponse

from shards import tokens
from shards.databases import shard_alias
from shards.exceptions import ConstellationError, ShardUnavailable
from sync import load, metrics, negotiation, parsers, problems, replies, service, wires
from sync.authentication import check_shard_is_served
from sync.exceptions import NotAcceptable, Overloaded, UnsupportedMediaType
from sync.renderers import JsonRenderer, OldProtobufRenderer, ProtobufRenderer

PATH = "/api/v1/sync"

#: What TVs write and read; the first is for whoever has no wish.
MEDIA_TYPES = (
    JsonRenderer.media_type,
    ProtobufRenderer.media_type,
    OldProtobufRenderer.media_type,
)

_STATUS_LINES = {status: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Reply(NamedTuple):
    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: bytes


def in_front_of(application: WSGIApplication) -> WSGIApplication:
    """Answer syncs, and leave everything else to an application."""

    def answer_or_pass_on(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST":
            return application(environ, start_response)
        try:
            reply = answer(environ)
        except Exception as exc:
            # Logged and answered like any bug of ours.
            reply = _written(response_for_exception(WSGIRequest(environ), exc))
        start_response(_STATUS_LINES[reply.status], reply.headers)
        # A list, which servers send with its length.
        return [reply.body]

    return answer_or_pass_on


def answer(environ: WSGIEnvironment) -> Reply:
    """Answer a sync or refuse it; a bug is counted, and raised."""
    if not load.take_place():
        return _sent_away()
    try:
        return _answer(environ)
    finally:
        load.give_place_back()


def _sent_away() -> Reply:
    """Refuse a sync unread, for next to nothing: there may be thousands a second."""
    reply = _overloaded(load.retry_after_seconds())
    metrics.record_sent_away()
    # Servers may add to the headers.
    return reply._replace(headers=[*reply.headers])


@cache
def _overloaded(retry_after_seconds: int) -> Reply:
    return _refused(Overloaded(retry_after_seconds=retry_after_seconds))


def _answer(environ: WSGIEnvironment) -> Reply:
    started = time.perf_counter()
    outcome = _Outcome()
    reply: Reply | None = None
    try:
        reply = _sync(environ, outcome, started)
    except Exception as exc:
        error = problems.translated(exc, {})
        if error is None:
            raise
        outcome.status = error.code
        if isinstance(error, ShardUnavailable):
            _close_broken_connection(shard_alias(error.facts["shard_id"]))
        reply = _refused(error)
    finally:
        metrics.record_sync(
            shard_id=outcome.shard_id,
            status=outcome.status,
            seconds=time.perf_counter() - started,
            # Counted, not claimed: a Content-Length may be anything, or missing.
            received_bytes=environ.get(parsers.RECEIVED_BYTES, 0),
            sent_bytes=len(reply.body) if reply else 0,
        )
    return reply


@dataclass(slots=True)
class _Outcome:
    """In the words of ``sync/metrics.py``."""

    shard_id: int | None = None
    status: str = ConstellationError.code


def _sync(environ: WSGIEnvironment, outcome: _Outcome, started: float) -> Reply:
    # All of this before the body is read.
    media_type = _wished_media_type(environ)
    token = tokens.read(environ.get("HTTP_AUTHORIZATION"))
    outcome.shard_id = token.shard_id
    check_shard_is_served(token)
    body_type = _media_type_of_body(environ)

    source = service.publication_for(token)
    body = parsers.of_media_type(body_type, environ)
    message = wires.of_media_type(body_type).read_sync(body, source)
    reply = service.sync(token, message, source, started=started)
    outcome.status = "retry" if reply.is_retry else "ok"
    wire = wires.of_media_type(media_type)
    written, headers = replies.for_tv(
        wire.write_sync(reply, message.wishes),
        wire.media_type,
        accept_encoding=environ.get("HTTP_ACCEPT_ENCODING", ""),
        is_dense=wire.is_dense(message.wishes),
    )
    return Reply(HTTPStatus.OK, headers, written)


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


def _close_broken_connection(alias: str) -> None:
    """Have this thread's next sync connect anew, as Django does between requests."""
    connection = connections[alias]
    if not connection.in_atomic_block:  # else it is its caller's
        connection.close_if_unusable_or_obsolete()


def _refused(error: ConstellationError) -> Reply:
    reply = _written(problems.response(error))
    reply.headers.append(("Vary", "Accept"))
    return reply


def _written(response: HttpResponse) -> Reply:
    status = HTTPStatus(response.status_code)
    return Reply(status, list(response.items()), response.content)

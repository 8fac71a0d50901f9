"""``POST /api/v1/sync`` straight from WSGI: what a TV learned in, what all did out.

What Django does around a view is for people and their browsers, and took most of the
time of a sync: so syncs are answered in front of it. ``SyncViewSet`` answers by the
same code where a request comes through Django after all. Most syncs don't come this
far: ``sync/event_door.py`` stands in front of this door.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from django.db import connections

from shards.databases import shard_alias
from shards.exceptions import ShardUnavailable
from sync import exchange, load, service
from sync.exchange import Exchange, Reply

PATH = "/api/v1/sync"

_STATUS_LINES = {status: f"{status.value} {status.phrase}" for status in HTTPStatus}


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
            reply = exchange.failed(environ, exc)
        start_response(_STATUS_LINES[reply.status], reply.headers)
        # A list, which servers send with its length.
        return [reply.body]

    return answer_or_pass_on


def answer(environ: WSGIEnvironment) -> Reply:
    """Answer a sync or refuse it; a bug is counted, and raised."""
    if not load.take_place():
        return exchange.sent_away()
    try:
        return answer_admitted(environ)
    finally:
        load.give_place_back()


def answer_admitted(environ: WSGIEnvironment) -> Reply:
    """Do so for one that has a place."""
    sync = Exchange(environ)
    reply: Reply | None = None
    try:
        sync.open()
        message = sync.read()
        reply = sync.answer(
            service.sync(sync.token, message, sync.source, started=sync.started)
        )
    except Exception as exc:
        if isinstance(exc, ShardUnavailable):
            _close_broken_connection(shard_alias(exc.facts["shard_id"]))
        reply = sync.refuse_or_raise(exc)
    finally:
        sync.record(reply)
    return reply


def _close_broken_connection(alias: str) -> None:
    """Have this thread's next sync connect anew, as Django does between requests."""
    connection = connections[alias]
    if not connection.in_atomic_block:  # else it is its caller's
        connection.close_if_unusable_or_obsolete()

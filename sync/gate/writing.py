"""A web process writes refusals for the gate before it."""

from __future__ import annotations

import hmac
from http import HTTPStatus

import orjson

from sync import exchange, load, metrics
from sync.event_loop import Application, Protocol, Scope, respond
from sync.exchange import Reply
from sync.gate import refusals

#: The environment's name for what a gate and the web processes behind it share.
SECRET_VARIABLE = "GATE_SECRET"


def in_front_of(application: Application, secret: str | None) -> Application:
    """Write refusals for whoever knows the secret; leave all else to an application."""
    if secret is None:
        return application

    async def write_or_pass_on(scope: Scope, protocol: Protocol) -> None:
        if scope.path != refusals.PATH or not _is_gate(scope, secret):
            await application(scope, protocol)
            return
        respond(protocol, _written(int(scope.headers.get(refusals.COUNT_HEADER))))

    return write_or_pass_on


def _is_gate(scope: Scope, secret: str) -> bool:
    given = scope.headers.get(refusals.SECRET_HEADER, "")
    return hmac.compare_digest(given.encode(), secret.encode())


def _written(count: int) -> Reply:
    count = min(count, refusals.MOST_STOCK)
    metrics.record_sent_away(count)
    template = exchange.overloaded()
    body = orjson.dumps(
        {
            "status": template.status.value,
            "headers": template.headers,
            "body": template.body.decode(),
            "retry_after_seconds": load.pacing.retry_after_seconds_of(count),
        }
    )
    return Reply(HTTPStatus.OK, [("Content-Type", "application/json")], body)

"""Probes: alive, ready, and what is wrong.

``live`` does no I/O: a database that is down must not get the process killed.
``ready`` asks this process's own databases whether they answer; while the process
drains it says no. ``detailed`` names each component with its latency.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeAlias

from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from constellation_site import drain
from shards.databases import CONTROL_ALIAS, served_shard_ids, shard_alias
from shards.exceptions import ConstellationError
from sync import problems
from sync.exceptions import MethodNotAllowed

SAFE_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One thing this process needs, and whether it answered."""

    name: str
    is_ok: bool
    latency_ms: float
    problem: str = ""


class NotReady(ConstellationError):
    """What a probe hears beside what it asked for."""

    code = "not_ready"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE
    grpc_status = "UNAVAILABLE"
    message = "This process isn't ready: {reason}."


Probe: TypeAlias = Callable[[HttpRequest], HttpResponse]


def safe(probe: Probe) -> Probe:
    """Answer GET and HEAD, and refuse the rest like the API does."""

    @csrf_exempt  # else Django refuses the rest, with a page
    @wraps(probe)
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method not in SAFE_METHODS:
            return problems.response(
                MethodNotAllowed(
                    method=request.method, accepted=", ".join(SAFE_METHODS)
                )
            )
        return probe(request)

    return answer


@safe
def live(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@safe
def ready(_request: HttpRequest) -> HttpResponse:
    """Answer 200 if this process should get traffic, else 503.

    The shards decide: TVs are answered without the control database. A process with
    several shards is ready while one of them answers, so that a dead shard never
    fails the others.
    """
    if drain.is_draining():
        return _not_ready("it is draining", health="draining")
    if _answers():
        return JsonResponse({"status": "ok"})
    return _not_ready("none of its shards answers", health="down")


@safe
def detailed(_request: HttpRequest) -> HttpResponse:
    """List every component; 503 if any of them is down."""
    aliases = [CONTROL_ALIAS, *(shard_alias(i) for i in served_shard_ids())]
    components = _check(aliases)
    is_draining = drain.is_draining()
    facts = {
        "draining": is_draining,
        "components": [_described(component) for component in components],
    }
    down = [component.name for component in components if not component.is_ok]
    if down:
        return _not_ready(
            f"no answer from {', '.join(down)}", health="degraded", **facts
        )
    if is_draining:
        return _not_ready("it is draining", health="degraded", **facts)
    return JsonResponse({"status": "ok"} | facts)


def is_ready() -> bool:
    """Tell what ``ready`` answers, to who isn't asked over HTTP."""
    return not drain.is_draining() and _answers()


def _answers() -> bool:
    shards = _check([shard_alias(i) for i in served_shard_ids()])
    return any(component.is_ok for component in shards)


def _described(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "status": "ok" if component.is_ok else "down",
        "latency_ms": round(component.latency_ms, 2),
        **({"problem": component.problem} if component.problem else {}),
    }


def _not_ready(reason: str, **facts: Any) -> HttpResponse:
    """Answer 503; ``health`` is the word, since a problem's ``status`` is a number."""
    return problems.response(NotReady(reason=reason, **facts))


def _check(aliases: list[str]) -> list[Component]:
    if len(aliases) == 1:
        return [_ask(aliases[0])]
    with ThreadPoolExecutor(max_workers=min(16, len(aliases))) as pool:
        return list(pool.map(_ask_and_hang_up, aliases))


def _ask(alias: str) -> Component:
    started = time.perf_counter()
    problem = ""
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as exc:
        problem = type(exc).__name__
    latency_ms = (time.perf_counter() - started) * 1000
    return Component(
        name=alias, is_ok=not problem, latency_ms=latency_ms, problem=problem
    )


def _ask_and_hang_up(alias: str) -> Component:
    """Ask from a short-lived thread, whose connection nobody would close."""
    try:
        return _ask(alias)
    finally:
        connections[alias].close()

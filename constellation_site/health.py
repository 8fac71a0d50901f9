"""Probes: alive, ready, and what is wrong.

``live`` does no I/O: a database that is down must not get the process killed.
``ready`` asks this process's own databases whether they answer; while the process
drains it says no. ``detailed`` names each component with its latency.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

from django.db import DatabaseError, connections
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from constellation_site import drain
from shards.databases import CONTROL_ALIAS, served_shard_ids, shard_alias


@dataclass(frozen=True, kw_only=True)
class Component:
    """One thing this process needs, and whether it answered."""

    name: str
    is_ok: bool
    latency_ms: float
    problem: str = ""


@require_safe
def live(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if this process should get traffic, else 503.

    The shards decide: TVs are answered without the control database. A process with
    several shards is ready while one of them answers, so that a dead shard never
    fails the others.
    """
    if drain.is_draining():
        return _answer("draining", HTTPStatus.SERVICE_UNAVAILABLE)
    shards = _check([shard_alias(i) for i in served_shard_ids()])
    if any(component.is_ok for component in shards):
        return _answer("ok", HTTPStatus.OK)
    return _answer("no shard answers", HTTPStatus.SERVICE_UNAVAILABLE)


@require_safe
def detailed(_request: HttpRequest) -> JsonResponse:
    """List every component; 503 if any of them is down."""
    aliases = [CONTROL_ALIAS, *(shard_alias(i) for i in served_shard_ids())]
    components = _check(aliases)
    is_ok = all(c.is_ok for c in components) and not drain.is_draining()
    return JsonResponse(
        {
            "status": "ok" if is_ok else "degraded",
            "draining": drain.is_draining(),
            "components": [
                {
                    "name": c.name,
                    "status": "ok" if c.is_ok else "down",
                    "latency_ms": round(c.latency_ms, 2),
                    **({"problem": c.problem} if c.problem else {}),
                }
                for c in components
            ],
        },
        status=HTTPStatus.OK if is_ok else HTTPStatus.SERVICE_UNAVAILABLE,
    )


def _answer(status: str, http_status: HTTPStatus) -> JsonResponse:
    return JsonResponse({"status": status}, status=http_status)


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

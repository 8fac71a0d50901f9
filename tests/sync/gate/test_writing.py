"""What web processes write for the gate, and what TVs are told then."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from sync import exchange
from sync.gate import refusals, writing
from sync.gate.passing import Web
from sync.gate.refusals import Stock
from tests.sync.loop_client import Headers, Protocol, Scope

SECRET = "of this test"


async def behind(_: Any, protocol: Any) -> None:
    protocol.response_bytes(404, [], b"")


def ask(path: str = refusals.PATH, secret: str = SECRET, count: int = 5) -> Protocol:
    application: Any = writing.in_front_of(behind, SECRET)
    headers = {refusals.SECRET_HEADER: secret, refusals.COUNT_HEADER: str(count)}
    protocol = Protocol(b"")
    asyncio.run(application(Scope(path, Headers(headers), "GET"), protocol))
    return protocol


def sent_away() -> float:
    labels = {"shard_id": "none", "status": "overloaded"}
    return REGISTRY.get_sample_value("constellation_sync_requests_total", labels) or 0.0


def stock_of(answer: bytes) -> Stock:
    nowhere: Any = None
    stock = Stock([Web("/nowhere")], SECRET, watcher=nowhere)
    stock._came(answer)
    return stock


def taken(stock: Stock) -> tuple[bytes, bytes]:
    """Head and body."""
    refusal = stock.take()
    assert refusal is not None
    head, body = refusal.split(b"\r\n\r\n", 1)
    return head, body


def test_as_many_are_written_as_are_asked_for_and_counted():
    before = sent_away()

    written = orjson.loads(ask(count=300).answer)

    assert len(written["retry_after_seconds"]) == 300
    assert all(10 <= each <= 7200 for each in written["retry_after_seconds"])
    assert len(set(written["retry_after_seconds"])) > 30
    assert sent_away() - before == 300


@pytest.mark.parametrize("other", [{"path": "/gate"}, {"secret": "guessed"}])
def test_who_is_no_gate_is_passed_on(other):
    before = sent_away()

    assert ask(**other).status == 404
    assert sent_away() == before


def test_a_web_process_without_a_gate_writes_none():
    assert writing.in_front_of(behind, None) is behind


def test_the_gate_says_what_the_door_says():
    stock = stock_of(ask(count=1).answer)

    head, body = taken(stock)

    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    problem, own = orjson.loads(body), exchange.sent_away()
    seconds = str(problem["retry_after_seconds"])
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert headers.pop("Content-Length") == str(len(body))
    assert headers.pop("Retry-After") == seconds
    assert headers == {n: v for n, v in own.headers if n != "Retry-After"}
    of_own = str(orjson.loads(own.body)["retry_after_seconds"])
    assert body == own.body.replace(of_own.encode(), seconds.encode())


def test_each_is_told_its_own_time_once():
    answer = ask(count=40).answer
    stock = stock_of(answer)

    told = [orjson.loads(taken(stock)[1]) for _ in range(40)]

    seconds = sorted(each["retry_after_seconds"] for each in told)
    assert seconds == sorted(orjson.loads(answer)["retry_after_seconds"])
    assert stock.take() is None


def test_what_was_written_for_another_overload_is_thrown_away():
    stock = stock_of(ask(count=5).answer)

    stock.take()
    stock.tend(time.monotonic() + refusals.KEPT_SECONDS + 1)

    assert stock.take() is None

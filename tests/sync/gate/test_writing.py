"""What web processes write for the gate, and what TVs are told then."""

from __future__ import annotations

import time

import orjson
from prometheus_client import REGISTRY

from sync import exchange
from sync.gate import refusals, writing
from sync.gate.refusals import ORDER, Stock
from sync.gate.webs import Web


def written(count: int) -> bytes:
    return writing.refusals(ORDER + str(count).encode())


def sent_away() -> float:
    labels = {"shard_id": "none", "status": "overloaded"}
    return REGISTRY.get_sample_value("constellation_sync_requests_total", labels) or 0.0


def stock_of(answer: bytes) -> Stock:
    stock = Stock([Web("/nowhere")])
    stock._came(answer)
    return stock


def taken(stock: Stock) -> tuple[bytes, bytes]:
    """Head and body."""
    refusal = stock.take()
    assert refusal is not None
    head, body = refusal.split(b"\r\n\r\n", 1)
    return head, body


def test_as_many_are_written_as_are_ordered_and_counted():
    before = sent_away()

    seconds = orjson.loads(written(300))["retry_after_seconds"]

    assert len(seconds) == 300
    assert all(10 <= each <= 7200 for each in seconds)
    assert len(set(seconds)) > 30
    assert sent_away() - before == 300


def test_no_order_is_too_large():
    seconds = orjson.loads(written(10**9))["retry_after_seconds"]

    assert len(seconds) == refusals.MOST_STOCK


def test_the_gate_says_what_the_door_says():
    stock = stock_of(written(1))

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
    answer = written(40)
    stock = stock_of(answer)

    told = [orjson.loads(taken(stock)[1]) for _ in range(40)]

    seconds = sorted(each["retry_after_seconds"] for each in told)
    assert seconds == sorted(orjson.loads(answer)["retry_after_seconds"])
    assert stock.take() is None


def test_what_was_written_for_another_overload_is_thrown_away():
    stock = stock_of(written(5))

    stock.take()
    stock.tend(time.monotonic() + refusals.KEPT_SECONDS + 1)

    assert stock.take() is None

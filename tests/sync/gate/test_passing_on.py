"""What a gate passes on without looking, and what is said out of turn."""

from __future__ import annotations

import time

import pytest

from tests.sync.gate.doors import SYNC, full, request


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (b"GET /admin/?q=1 HTTP/1.1\r\nHost: console\r\n\r\n", b"/admin/?q=1"),
        (request(b"x" * 300_000), SYNC.encode() + b" " + b"x" * 300_000),
        (request(b"1", path="/api/v1/devices"), b"/api/v1/devices 1"),
        (request(b"{}", media_type="application/json"), SYNC.encode() + b" {}"),
        (
            b"POST /api/v1/sync HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            SYNC.encode() + b" abcde",
        ),
    ],
    ids=["get", "large", "other path", "json", "chunked"],
)
def test_everything_else_is_passed_on_as_it_is(door, sent, heard):
    with door.connect() as client:
        client.send(sent)

        assert client.answer() == (200, heard)
    assert door.web.asked == []


def test_everything_else_is_passed_on_when_there_is_no_place(door):
    with full(door), door.connect() as client:
        client.send(b"GET /health/live HTTP/1.1\r\nHost: probe\r\n\r\n")

        assert client.answer() == (200, b"/health/live")


def test_syncs_that_don_t_wait_for_answers_get_them_in_their_order(door):
    with door.connect() as client:
        client.send(b"".join(request(b"%d" % number) for number in range(5)))
        heard = [client.answer()[1] for _ in range(5)]

    assert heard == [f"{SYNC} {number}".encode() for number in range(5)]


def test_who_says_more_before_it_is_answered_is_heard_in_its_order(door):
    with door.connect() as client:
        for number in range(5):
            client.send(request(b"%d" % number))
            time.sleep(0.02)
            door.web.goes_on.clear()
        door.web.goes_on.set()
        heard = [client.answer()[1] for _ in range(5)]

    assert heard == [f"{SYNC} {number}".encode() for number in range(5)]


def test_who_reads_slowly_loses_nothing_and_holds_nobody_up(door):
    size = 20_000_000
    with door.connect() as slow, door.connect() as other:
        slow.send(f"GET /long/{size} HTTP/1.1\r\nHost: tv\r\n\r\n".encode())

        assert other.sync(b"meanwhile")[0] == 200

        status, body = slow.answer()
    assert (status, len(body)) == (200, size)

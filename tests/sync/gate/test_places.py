"""Who is let in by a gate, and who is sent away."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from tests.running import wait_for
from tests.sync.gate.doors import (
    PLACES,
    SYNC,
    full,
    have_refusals,
    request,
    running_gate,
)


def test_a_sync_is_passed_on_and_answered(door):
    with door.connect() as client:
        first, second = client.sync(b"one"), client.sync(b"two")

    assert first == (200, f"{SYNC} one".encode())
    assert second == (200, f"{SYNC} two".encode())


def test_who_is_too_many_is_sent_away_unread(door):
    with full(door) as inside, door.connect() as client:
        asked = len(door.web.asked)

        answers = [client.sync(b"outside") for _ in range(20)]

        assert {status for status, _ in answers} == {503}
        seconds = [json.loads(body)["retry_after_seconds"] for _, body in answers]
        assert len(set(seconds)) == 20
        assert f"Retry-After: {seconds[-1]}\r\n".encode() in client.head
        assert len(door.web.asked) == asked
        door.web.goes_on.set()
        assert [each.answer()[0] for each in inside] == [200] * PLACES


def test_places_are_free_again_when_those_inside_are_answered(door):
    with full(door) as inside, door.connect() as client:
        assert client.sync()[0] == 503
        door.web.goes_on.set()
        for each in inside:
            each.answer()

        wait_for(lambda: client.sync()[0] == 200)


def test_who_leaves_keeps_its_place_until_it_would_be_answered(door):
    with full(door) as inside, door.connect() as client:
        for each in inside:
            each.socket.close()
        time.sleep(0.1)
        assert client.sync()[0] == 503

        door.web.goes_on.set()

        wait_for(lambda: client.sync()[0] == 200)


def test_who_is_too_many_is_sent_away_before_its_body_came(door):
    head, body = request(b"late body")[:-9], b"late body"
    with full(door), door.connect() as client:
        client.send(head)
        assert client.answer()[0] == 503

        client.send(body[:4])
        client.send(body[4:] + request())

        assert client.answer()[0] == 503
        door.web.goes_on.set()
        wait_for(lambda: client.sync(b"again") == (200, f"{SYNC} again".encode()))


def test_a_body_may_come_after_its_head(door):
    whole = request(b"in parts")
    with door.connect() as client:
        for place in range(0, len(whole), 40):
            client.send(whole[place : place + 40])
            time.sleep(0.01)

        assert client.answer() == (200, f"{SYNC} in parts".encode())


def test_who_doesn_t_send_a_body_takes_no_place(door):
    have_refusals(door)
    with ExitStack() as stack:
        for _ in range(10 * PLACES):
            stack.enter_context(door.connect()).send(request(b"never there")[:-5])
        client = stack.enter_context(door.connect())

        assert client.sync() == (200, f"{SYNC} delta".encode())


def test_who_has_gathered_a_body_for_which_there_is_no_place_is_sent_away(door):
    whole = request(b"gathered")
    with ExitStack() as stack:
        early = stack.enter_context(door.connect())
        early.send(whole[:-4])
        time.sleep(0.1)
        stack.enter_context(full(door))

        early.send(whole[-4:])

        assert early.answer()[0] == 503


def test_who_reads_slowly_keeps_no_place(webs):
    size = 5_000_000
    with running_gate(webs[:1]) as door, ExitStack() as stack:
        have_refusals(door)
        webs[0].answer_bytes = size
        slow = [stack.enter_context(door.connect()) for _ in range(PLACES)]
        for each in slow:
            each.send(request(b"slow"))
        wait_for(lambda: webs[0].asked.count(b"slow") == len(slow))
        webs[0].answer_bytes = 0
        client = stack.enter_context(door.connect())

        wait_for(lambda: client.sync()[0] == 200, seconds=20)
        assert [len(each.answer()[1]) for each in slow] == [size] * len(slow)


def test_who_doesn_t_read_is_not_read(door):
    size = 5_000_000
    door.web.answer_bytes = size
    with door.connect() as client:
        client.send(request(b"first"))
        wait_for(lambda: door.web.asked)
        for _ in range(3):
            time.sleep(0.05)
            client.send(request(b"later"))
        time.sleep(0.2)
        assert door.web.asked == [b"first"]

        heard = [len(client.answer()[1]) for _ in range(4)]

    assert heard == [size] * 4


def test_syncs_go_where_least_is_under_way(webs):
    with running_gate(webs) as door, full(door):
        assert [len(each.asked) >= PLACES for each in webs] == [True, True]


def test_both_web_processes_write_refusals(webs):
    with running_gate(webs) as door, full(door), door.connect() as client:

        def is_sent_away_for_long() -> bool:
            assert client.sync()[0] == 503
            return all(each.orders for each in webs)

        wait_for(is_sent_away_for_long)

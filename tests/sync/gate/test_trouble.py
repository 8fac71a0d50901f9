"""A gate whose web processes or clients hang, break down or go away."""

from __future__ import annotations

import errno
import json
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import repeat

import pytest

from sync.gate import keeping
from tests.running import wait_for
from tests.sync.gate import web
from tests.sync.gate.doors import PLACES, SYNC, Door, request, running_gate


def test_who_finds_a_web_process_gone_goes_to_another(webs):
    with running_gate(webs) as door:
        webs[0].end()
        for _ in range(10):
            with door.connect() as client:
                assert client.sync() == (200, f"{SYNC} delta".encode())

        assert len(webs[1].asked) == 10


def test_one_that_is_back_is_asked_again(webs, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "SWEEP_SECONDS", 0.05)
    webs[0].end()
    with running_gate(webs) as door, door.connect() as client:
        assert client.sync()[0] == 200
        with web.running(tmp_path / "0.sock") as back:

            def is_asked() -> bool:
                with door.connect() as other:
                    other.send(request())
                    time.sleep(0.05)
                return bool(back.asked)

            webs[1].goes_on.clear()
            with door.connect() as inside:
                inside.send(request())
                wait_for(is_asked)
                webs[1].goes_on.set()


def test_where_no_web_process_is_nobody_waits(webs):
    with running_gate(webs) as door:
        for each in webs:
            each.end()
        with door.connect() as client, pytest.raises(ConnectionError):
            client.sync()


def test_a_web_process_that_breaks_down_ends_its_syncs(webs):
    with running_gate(webs[:1]) as door, door.connect() as client:
        webs[0].goes_on.clear()
        client.send(request())
        wait_for(lambda: webs[0].asked)

        webs[0].break_down()

        assert client.is_closed()


def test_where_nobody_listens_for_channels_syncs_are_passed_on_as_they_are(webs):
    webs[0].end_channels()
    with running_gate(webs[:1]) as door, door.connect() as client:
        assert client.sync() == (200, f"{SYNC} delta".encode())
        assert webs[0].asked_otherwise == [b"delta"]


def test_what_comes_after_a_web_process_has_closed_is_no_new_request(webs):
    """Else the rest of a body would be read as one, by whoever gets it next."""
    # More than the client's side holds, and no more than both sides do.
    size = 150_000
    hidden = request(b"hidden", path="/hidden")
    whole = request(b"x" * 1_000 + hidden, path=f"/early/{size}")
    with (
        running_gate(webs[:1], send_bytes=1 << 15) as door,
        door.connect(receive_bytes=1 << 15) as client,
    ):
        client.send(whole[: -len(hidden)])
        wait_for(lambda: webs[0].has_closed, seconds=5)
        time.sleep(0.2)
        client.send(hidden)
        time.sleep(0.2)

        assert client.answer() == (200, b"x" * size)
        assert client.is_closed()
    assert webs[0].asked_otherwise == []


def test_a_web_process_that_hangs_is_given_up(monkeypatch, door):
    monkeypatch.setattr(keeping, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(keeping, "SWEEP_SECONDS", 0.05)
    door.web.goes_on.clear()
    with door.connect() as client:
        client.send(request())

        assert client.is_closed()
    door.web.goes_on.set()

    with door.connect() as client:
        assert client.sync()[0] == 200


def test_who_is_too_many_for_a_web_process_that_doesn_t_read_is_disconnected(door):
    door.web.reads.clear()
    with ExitStack() as stack:
        clients = [stack.enter_context(door.connect()) for _ in range(200)]
        for each in clients:
            each.send(request(b"x" * 8_000))
        assert clients[-1].is_closed()

        door.web.reads.set()

        assert [each.answer()[0] for each in clients[:PLACES]] == [200] * PLACES


def test_nobody_gets_the_answer_of_another(webs):
    """Whatever the order and however requests are cut, there is a place or not."""

    def live(seed: int, door: Door) -> None:
        rng = random.Random(seed)
        with door.connect() as client:
            for number in range(40):
                body = f"{seed} {number} ".encode() + b"." * rng.randrange(3_000)
                whole = request(body)
                cut = rng.randrange(60, len(whole))
                client.send(whole[:cut])
                if rng.random() < 0.5:
                    time.sleep(0.001)
                client.send(whole[cut:])
                status, heard = client.answer()
                if status == 200:
                    assert heard == f"{SYNC} ".encode() + body
                else:
                    assert json.loads(heard)["retry_after_seconds"] >= 10
                if rng.random() < 0.05:
                    client.send(whole[:cut])
                    return

    with running_gate(webs) as door, ThreadPoolExecutor(16) as pool:
        list(pool.map(live, range(64), repeat(door)))
        for each in webs:
            each.goes_on.set()

    for each in webs:
        assert len(set(each.asked)) >= len(each.asked) - 64


def test_what_is_under_way_is_answered_when_the_gate_is_told_to_stop(door):
    door.web.goes_on.clear()
    with door.connect() as inside, door.connect() as idle:
        inside.send(request(b"last"))
        wait_for(lambda: door.web.asked)

        door.stop()

        assert idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            wait_for(lambda: door.connect().socket.close())
        door.web.goes_on.set()
        assert inside.answer() == (200, f"{SYNC} last".encode())


def test_who_says_nothing_is_forgotten(monkeypatch, webs):
    monkeypatch.setattr(keeping, "GONE_SECONDS", 0.1)
    monkeypatch.setattr(keeping, "SWEEP_SECONDS", 0.05)
    with running_gate(webs) as door, door.connect() as client:
        assert client.is_closed()


def test_who_doesn_t_read_is_forgotten(monkeypatch, door):
    monkeypatch.setattr(keeping, "GONE_SECONDS", 0.2)
    monkeypatch.setattr(keeping, "SWEEP_SECONDS", 0.05)
    door.web.answer_bytes = 20_000_000
    with door.connect() as client:
        client.send(request())
        wait_for(lambda: door.web.asked)
        time.sleep(1)

        with pytest.raises(ConnectionError):
            client.answer()


def test_connections_wait_when_there_is_room_for_no_more(monkeypatch, door):
    full_once = iter([OSError(errno.EMFILE, "Too many open files")])
    accept = socket.socket.accept

    def accept_later(listener: socket.socket):
        for trouble in full_once:
            raise trouble
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", accept_later)
    with door.connect() as client:
        assert client.sync()[0] == 200

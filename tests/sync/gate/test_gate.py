"""The gate, between clients and web processes on real sockets."""

from __future__ import annotations

import errno
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import repeat

import pytest

from sync.gate import keeping
from sync.gate.keeping import Gate
from sync.gate.webs import Web as WebBehind
from tests.running import wait_for
from tests.sync.gate import web
from tests.sync.gate.web import Web

PLACES = 2
SYNC = "/api/v1/sync"


@dataclass
class Door:
    """A gate that runs, and what is behind it."""

    address: tuple[str, int]
    webs: list[Web]
    stop: Callable[[], None]

    @property
    def web(self) -> Web:
        return self.webs[0]

    def connect(self, receive_bytes: int = 0) -> Client:
        sock = socket.socket()
        sock.settimeout(20)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        return Client(sock)


class Client:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._received = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def sync(self, body: bytes = b"delta") -> tuple[int, bytes]:
        self.send(request(body))
        return self.answer()

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the next one."""
        head, status, length = self._head()
        while len(self._received) < length:
            self._receive()
        body, self._received = self._received[:length], self._received[length:]
        self.head = head
        return status, body

    def is_closed(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _head(self) -> tuple[bytes, int, int]:
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, self._received = self._received.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        return head, int(head.split(b" ")[1]), int(length[1]) if length else 0

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        self._received += data


def request(
    body: bytes = b"delta",
    *,
    path: str = SYNC,
    media_type: str = "application/protobuf",
) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: tv",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def running_gate(
    webs: list[Web], places: int = PLACES, *, send_bytes: int = 0
) -> Iterator[Door]:
    listener = socket.create_server(("127.0.0.1", 0))
    if send_bytes:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
    is_stopped = threading.Event()
    gate = Gate(listener, [WebBehind(each.path) for each in webs], places=places)
    address = listener.getsockname()
    thread = threading.Thread(target=gate.run, args=(is_stopped.is_set,))
    thread.start()
    try:
        yield Door(address, webs, is_stopped.set)
    finally:
        is_stopped.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def webs(tmp_path) -> Iterator[list[Web]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(web.running(tmp_path / f"{number}.sock"))
            for number in range(2)
        ]


@pytest.fixture
def door(webs) -> Iterator[Door]:
    with running_gate(webs[:1]) as door:
        yield door


@contextmanager
def full(door: Door) -> Iterator[list[Client]]:
    """All places are taken, and refusals are in stock."""
    for each in door.webs:
        each.goes_on.clear()
    with ExitStack() as stack:
        inside = [
            stack.enter_context(door.connect()) for _ in range(PLACES * len(door.webs))
        ]
        for number, client in enumerate(inside):
            client.send(request(b"inside %d" % number))
        wait_for(lambda: sum(len(each.asked) for each in door.webs) == len(inside))
        # The first that is too many is passed on: there is nothing to tell it yet.
        first = stack.enter_context(door.connect())
        first.send(request(b"first"))
        wait_for(lambda: any(each.orders for each in door.webs))
        wait_for(lambda: is_anybody_sent_away(door))
        yield inside
        for each in door.webs:
            each.goes_on.set()


def have_refusals(door: Door) -> None:
    """Refusals are in stock, and all places are free."""
    with full(door):
        pass
    with ExitStack() as stack:
        clients = [stack.enter_context(door.connect()) for _ in range(PLACES)]

        def are_all_let_in() -> bool:
            for each in clients:
                each.send(request())
            return {each.answer()[0] for each in clients} == {200}

        wait_for(are_all_let_in)


def is_anybody_sent_away(door: Door) -> bool:
    with door.connect() as client:
        client.socket.settimeout(0.2)
        try:
            return client.sync(b"probe")[0] == 503
        except TimeoutError:
            return False


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

"""The load generator counts what was asked and answered, and from when."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.sync import generator
from benchmarks.sync.generator import BROKEN, OK, SENT_AWAY, GeneratorError

#: What a server says to a request, given how many times it has seen it; None: nothing.
Answer = Callable[[bytes, int], bytes | None]

REQUESTS = [b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n%04d" % n for n in range(200)]
REQUEST_BYTES = len(REQUESTS[0])

WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell"
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"

LONG = 60.0


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server with a thread a connection."""
    seen: dict[bytes, int] = {}

    def talk(connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(REQUEST_BYTES, socket.MSG_WAITALL):
                seen[request] = seen.get(request, 0) + 1
                said = answer(request, seen[request])
                if said is None:
                    return
                connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        host, port = server.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            server.shutdown(socket.SHUT_RDWR)


def test_a_closed_loop_ends_when_nothing_is_left():
    with serving(lambda *_: WELL) as address:
        load = generator.closed(address, REQUESTS, connections=4, seconds=LONG)

    assert sorted(load.served) == list(range(len(REQUESTS)))
    assert load.counts() == {OK: len(REQUESTS)}
    assert load.seconds < LONG
    assert load.connections == 4
    assert set(load.sizes) == {4}


def test_a_closed_loop_ends_when_its_time_is_over():
    def slowly(*_: object) -> bytes:
        time.sleep(0.05)
        return WELL

    with serving(slowly) as address:
        load = generator.closed(address, REQUESTS, connections=1, seconds=0.2)

    # What was under way then is waited for, and is in no rate.
    assert 1 <= len(load.served) <= 5
    assert load.seconds >= 0.2


def test_what_was_sent_away_comes_again_at_the_end():
    with serving(lambda _, times: BUSY if times == 1 else WELL) as address:
        load = generator.closed(address, REQUESTS[:9], connections=1, seconds=LONG)

    assert load.requests.tolist() == [*range(9)] * 2
    assert load.statuses.tolist() == [SENT_AWAY] * 9 + [OK] * 9


def test_latencies_count_from_when_a_request_was_due():
    def slowly(*_: object) -> bytes:
        time.sleep(0.005)
        return WELL

    with serving(slowly) as address:
        load = generator.opened(
            address, REQUESTS, per_second=1_000, seconds=0.05, connections=1
        )

    # One connection serves them one by one, and all were due within a moment.
    assert load.offered > 20
    assert load.latencies.max() >= 0.005 * load.offered - 0.05
    assert load.delays.max() >= 0.005 * (load.offered - 1) - 0.05


def test_requests_that_are_due_together_get_connections_of_their_own():
    together = threading.Barrier(3, timeout=30)

    def meet(*_: object) -> bytes:
        together.wait()
        return WELL

    with serving(meet) as address:
        load = generator.closed(address, REQUESTS[:9], connections=3, seconds=LONG)

    assert len(load.served) == 9


def test_a_connection_that_breaks_is_no_answer():
    with serving(lambda *_: None) as address:
        load = generator.closed(address, REQUESTS[:7], connections=2, seconds=LONG)

    assert load.counts() == {BROKEN: 7}
    assert load.per_second == 0


def test_a_connection_that_is_closed_politely_is_made_anew():
    with serving(lambda *_: LAST) as address:
        load = generator.closed(address, REQUESTS[:7], connections=2, seconds=LONG)

    assert load.counts() == {OK: 7}


def test_nobody_there_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()

    with pytest.raises(GeneratorError, match="no connection"):
        generator.closed(f"{host}:{port}", REQUESTS, connections=1, seconds=1)


@pytest.mark.parametrize(
    ("received", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: x\r\n\r\nabc", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_all_its_bytes_are_there(received, whole):
    assert generator.is_whole(received) is whole

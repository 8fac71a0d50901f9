"""A gate that runs, and clients of it, on real sockets."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sync.gate.keeping import Gate
from sync.gate.webs import Web as WebBehind
from tests.running import wait_for
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

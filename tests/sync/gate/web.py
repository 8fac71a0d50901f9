"""A web process as the gate sees it: HTTP/1.1 on a socket with a path, and channels."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingMixIn, UnixStreamServer

from sync.exchange import SOME_SECONDS
from sync.gate.channel import channel_path
from sync.gate.frames import Frames, frame
from sync.gate.http1 import HEAD_END
from sync.gate.refusals import ORDER


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    web: Web

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        with suppress(FileNotFoundError):
            Path(str(self.server_address)).unlink()

    def handle_error(self, *_: object) -> None:
        """Clients may go away whenever they want."""


class Web:
    """Echoes bodies, each with the path and method it came with; may be held up."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.goes_on = threading.Event()
        self.goes_on.set()
        #: So many instead of an echo.
        self.answer_bytes = 0
        #: What it was asked on channels, and otherwise.
        self.asked: list[bytes] = []
        self.asked_otherwise: list[bytes] = []
        #: How many refusals each order was for.
        self.orders: list[int] = []
        self.channels: list[socket.socket] = []
        #: Has answered before a body was read, and closed.
        self.has_closed = False
        #: Its channels.
        self.reads = threading.Event()
        self.reads.set()
        self._retry_after_seconds = iter(range(10, 1_000_000))
        self._servers = [
            _Server(self.path, _Handler),
            _Server(channel_path(self.path), _Channel),
        ]
        for server in self._servers:
            server.web = self
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()

    def end(self) -> None:
        """Listen no more; nothing of it is left, but what is answered already."""
        self.goes_on.set()
        self.reads.set()
        for server in self._servers:
            server.end()
        self.break_down()

    def end_channels(self) -> None:
        """Answer HTTP only."""
        self._servers[1].end()
        self.break_down()

    def break_down(self) -> None:
        """End channels, whatever is under way."""
        for channel in self.channels:
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)

    def echo(self, path: str, body: bytes, asked: list[bytes]) -> bytes:
        count = self.answer_bytes
        asked.append(body)
        self.goes_on.wait(30)
        return b"x" * count or f"{path} ".encode() + body

    def refusals(self, count: int) -> bytes:
        self.orders.append(count)
        some = SOME_SECONDS.decode()
        written = {
            "status": 503,
            "headers": [["Retry-After", some], ["Content-Type", "application/json"]],
            "body": f'{{"retry_after_seconds":{some}}}',
            "retry_after_seconds": [
                next(self._retry_after_seconds) for _ in range(count)
            ],
        }
        return json.dumps(written).encode()


class _Channel(BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.web.channels.append(self.request)
        self._lock = threading.Lock()
        frames = Frames()
        while self.server.web.reads.wait(30) and (data := self.request.recv(1 << 16)):
            for number, request in frames.of(data):
                threading.Thread(target=self._answer, args=(number, request)).start()

    def _answer(self, number: int, request: bytes) -> None:
        answer = self._answer_to(request)
        with self._lock, suppress(OSError):
            self.request.sendall(frame(number, answer))

    def _answer_to(self, request: bytes) -> bytes:
        web = self.server.web
        if request.startswith(ORDER):
            return web.refusals(int(request.removeprefix(ORDER)))
        head, body = request.split(HEAD_END, 1)
        answer = web.echo(head.split(b" ")[1].decode(), body, web.asked)
        lines = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer)
        return lines + answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        if self.path.startswith("/early/"):
            self.close_connection = True
            self._answer(b"x" * int(self.path.removeprefix("/early/")))
            self.server.web.has_closed = True
            return
        web = self.server.web
        self._answer(web.echo(self.path, self._body(), web.asked_otherwise))

    def do_GET(self) -> None:
        if self.path.startswith("/long/"):
            self._answer(b"x" * int(self.path.removeprefix("/long/")))
        else:
            self._answer(self.path.encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "gate"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(path: Path) -> Iterator[Web]:
    web = Web(path)
    try:
        yield web
    finally:
        web.end()

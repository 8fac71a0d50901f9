"""A web process as the gate sees it: HTTP/1.1 on a socket with a path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

from sync.exchange import SOME_SECONDS
from sync.gate import refusals

SECRET = "of this test"


class Web(ThreadingMixIn, UnixStreamServer):
    """Echoes bodies, each with the path and method it came with; may be held up."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.path = str(path)
        self.goes_on = threading.Event()
        self.goes_on.set()
        #: Ends connections instead of answering.
        self.breaks_down = False
        #: Answers before a body is read, and goes on without it.
        self.answers_at_once = False
        #: So many instead of an echo.
        self.answer_bytes = 0
        self.asked: list[bytes] = []
        #: How many refusals each order was for.
        self.orders: list[int] = []
        self.retry_after_seconds = iter(range(10, 1_000_000))

    def end(self) -> None:
        """Listen no more; nothing of it is left, but what is answered already."""
        self.shutdown()
        self.server_close()
        Path(self.path).unlink()

    def handle_error(self, *_: object) -> None:
        """Clients may go away whenever they want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def do_POST(self) -> None:
        if self.server.answers_at_once:
            self.close_connection = True
            self._answer(401, b"")
            return
        body = self._body()
        self.server.asked.append(body)
        self.server.goes_on.wait(30)
        if self.server.breaks_down:
            self.close_connection = True
            return
        echo = f"{self.path} ".encode() + body
        self._answer(200, b"x" * self.server.answer_bytes or echo)

    def do_GET(self) -> None:
        if self.path == refusals.PATH:
            self._write_refusals()
        elif self.path.startswith("/long/"):
            self._answer(200, b"x" * int(self.path.removeprefix("/long/")))
        else:
            self._answer(200, self.path.encode())

    def _write_refusals(self) -> None:
        if self.headers[refusals.SECRET_HEADER] != SECRET:
            self._answer(404, b"")
            return
        count = int(self.headers[refusals.COUNT_HEADER])
        self.server.orders.append(count)
        some = SOME_SECONDS.decode()
        written = {
            "status": 503,
            "headers": [["Retry-After", some], ["Content-Type", "application/json"]],
            "body": f'{{"retry_after_seconds":{some}}}',
            "retry_after_seconds": [
                next(self.server.retry_after_seconds) for _ in range(count)
            ],
        }
        self._answer(200, json.dumps(written).encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
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
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield web
    finally:
        web.goes_on.set()
        web.shutdown()
        web.server_close()
        thread.join()

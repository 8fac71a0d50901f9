"""What syncs that are too many are answered, in stock.

When a TV comes back is decided by the web process that knows how many it can answer
(``sync/pacing.py``): for many TVs at a time, each process in its turn.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

import orjson

from sync.exchange import SOME_SECONDS, Reply
from sync.gate import heads
from sync.gate.ends import End, Watcher
from sync.gate.passing import Web

#: Where web processes write them, for a gate that knows the secret.
PATH = "/gate/refusals"
SECRET_HEADER = "gate-secret"
COUNT_HEADER = "gate-count"

#: How long a stock lasts. A web process with much to do takes a while to write another.
STOCK_SECONDS = 0.5
LEAST_STOCK = 32
MOST_STOCK = 16_384

#: Older ones say when to come back from another overload.
KEPT_SECONDS = 30.0
PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 0.1

_MOST_DIGITS = 6


class Stock:
    """Refusals by web processes, asked for when some are needed."""

    def __init__(self, webs: Sequence[Web], secret: str, watcher: Watcher) -> None:
        self._webs = webs
        self._secret = secret
        self._watcher = watcher
        self._templates: dict[int, bytes] = {}
        self._seconds: list[int] = []
        self._order: _Order | None = None
        self._turn = 0
        # How many were needed since they were asked for the last time.
        self._needed = 0
        self._asked_at = self._came_at = time.monotonic()

    def take(self) -> bytes | None:
        """One whole answer, for one TV; None if there is none."""
        self._needed += 1
        if not self._seconds:
            return None
        text = b"%d" % self._seconds.pop()
        return self._templates[len(text)].replace(SOME_SECONDS, text)

    def tend(self, now: float) -> None:
        """Order some more, if they may be needed before others could come."""
        if self._order is not None:
            if now - self._asked_at > PATIENCE_SECONDS:
                self._order.close()
                self._order = None
            return
        if not self._needed or now - self._asked_at < RETRY_SECONDS:
            return
        if self._seconds and now - self._came_at > KEPT_SECONDS:
            self._seconds.clear()
        wanted = self._needed / (now - self._asked_at) * STOCK_SECONDS
        wanted = min(max(round(wanted), LEAST_STOCK), MOST_STOCK)
        if len(self._seconds) < wanted:
            self._ask_for(wanted, now)

    def _ask_for(self, count: int, now: float) -> None:
        self._needed, self._asked_at = 0, now
        self._turn = (self._turn + 1) % len(self._webs)
        try:
            sock = self._webs[self._turn].connect()
        except OSError:
            return
        self._order = _Order(sock, self._watcher, self._came)
        lines = [
            f"GET {PATH} HTTP/1.1",
            "Host: gate",
            "Connection: close",
            f"{SECRET_HEADER}: {self._secret}",
            f"{COUNT_HEADER}: {count}",
        ]
        self._order.send("\r\n".join([*lines, "", ""]).encode())

    def _came(self, body: bytes) -> None:
        self._order = None
        if not body:
            return
        written = orjson.loads(body)
        template = Reply(
            HTTPStatus(written["status"]),
            [(name, value) for name, value in written["headers"]],
            written["body"].encode(),
        )
        self._templates = {
            digits: _as_http(template, digits) for digits in range(1, _MOST_DIGITS + 1)
        }
        self._seconds += written["retry_after_seconds"]
        self._came_at = time.monotonic()


class _Order(End):
    """One request to a web process for some refusals."""

    __slots__ = ("_received", "_take")

    def __init__(
        self, sock: socket.socket, watcher: Watcher, take: Callable[[bytes], None]
    ) -> None:
        super().__init__(sock, watcher)
        self._received = b""
        self._take = take

    def came(self, data: bytes) -> None:
        self._received += data
        if heads.answer_bytes_missing(self._received) == 0:
            self.ended()

    def ended(self) -> None:
        self.close()
        head, _, body = self._received.partition(b"\r\n\r\n")
        self._take(body if head.startswith(b"HTTP/1.1 200 ") else b"")


def _as_http(template: Reply, digits: int) -> bytes:
    """As it goes out, but for the number of seconds, which has so many digits."""
    length = len(template.body.replace(SOME_SECONDS, b"0" * digits))
    lines = [
        f"HTTP/1.1 {template.status.value} {template.status.phrase}",
        *(f"{name}: {value}" for name, value in template.headers),
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + template.body

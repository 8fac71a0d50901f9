"""What syncs that are too many are answered, in stock.

When a TV comes back is decided by the web process that knows how many it can answer
(``sync/pacing.py``): for many TVs at a time, each process in its turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

import orjson

from sync.exchange import SOME_SECONDS, Reply
from sync.gate import http1
from sync.gate.channel import Channel
from sync.gate.webs import Web

#: What a gate asks for so many with; no request of a TV begins like it.
ORDER = b"refusals "

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

    def __init__(self, webs: Sequence[Web]) -> None:
        self._webs = webs
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
                self._order.cancel()
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
        channel = self._webs[self._turn].channel
        if channel is not None and not channel.is_behind:
            self._order = _Order(channel, count, self._came)

    def _came(self, answer: bytes) -> None:
        self._order = None
        if not answer:
            return
        written = orjson.loads(answer)
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


class _Order:
    """Asks a web process for some refusals."""

    def __init__(
        self, channel: Channel, count: int, take: Callable[[bytes], None]
    ) -> None:
        self._channel = channel
        self._take = take
        self._number = channel.ask(self, ORDER + b"%d" % count)

    def heard(self, answer: bytes) -> None:
        self._take(answer)

    def cancel(self) -> None:
        self._channel.forget(self._number)


def _as_http(template: Reply, digits: int) -> bytes:
    """As it goes out, but for the number of seconds, which has so many digits."""
    length = len(template.body.replace(SOME_SECONDS, b"0" * digits))
    head = http1.head(template.status, tuple(template.headers), length)
    return head + template.body

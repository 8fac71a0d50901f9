"""The line of one TV: a request goes out until there is an answer about it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx
import zstandard

from fleet.backoff import Backoff
from fleet.errors import GaveUp, Refused, UnreadableReply

#: Smaller bodies don't earn the frame that compression puts around them.
COMPRESS_ABOVE_BYTES = 512

#: Answers that say "not now" and nothing about the request itself.
TRY_AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass
class Traffic:
    """Bodies as they crossed the wire, every attempt counted."""

    bytes_up: int = 0
    bytes_down: int = 0
    attempts: int = 0


@dataclass(kw_only=True)
class Line:
    """Sends with patience. Not for two threads at once."""

    http: httpx.Client
    backoff: Backoff
    pause: Callable[[float], None] = time.sleep
    #: Longer waits aren't made: what they are for can do without an answer.
    longest_wait_seconds: float = math.inf
    traffic: Traffic = field(default_factory=Traffic)

    def send(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str],
    ) -> httpx.Response:
        """Send until there is an answer about the request itself.

        Raises GaveUp after as many attempts as the back-off allows, or when it would
        have to wait for too long.
        """
        content, encoding = _compressed(content)
        sent = {"Accept-Encoding": "zstd, gzip", **headers, **encoding}
        failures = 0
        while True:
            self.traffic.attempts += 1
            self.traffic.bytes_up += len(content)
            try:
                response = self.http.request(method, url, content=content, headers=sent)
            except httpx.TransportError as exc:
                is_answered = False
                reason, code, retry_after = str(exc), _transport_code(exc), None
            except httpx.DecodingError as exc:
                raise UnreadableReply(str(exc)) from exc
            else:
                self.traffic.bytes_down += response.num_bytes_downloaded
                if response.status_code not in TRY_AGAIN_STATUSES:
                    return response
                is_answered = True
                problem = Refused(response)
                reason, code = str(problem), problem.code
                retry_after = response.headers.get("Retry-After")

            failures += 1
            wait = self.backoff.wait_seconds(failures, retry_after=retry_after)
            if failures >= self.backoff.attempts or wait > self.longest_wait_seconds:
                raise GaveUp(
                    f"after {failures} attempts: {reason}",
                    code=code,
                    is_answered=is_answered,
                )
            self.pause(wait)


def _compressed(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Compress what gets smaller by it: ids and codes are as good as random."""
    if len(content) <= COMPRESS_ABOVE_BYTES:
        return content, {}
    compressed = zstandard.compress(content)
    if len(compressed) >= len(content):
        return content, {}
    return compressed, {"Content-Encoding": "zstd"}


def _transport_code(exc: httpx.TransportError) -> str:
    """Name a failed exchange for counting: ``connect_error``, ``read_timeout``…"""
    name = type(exc).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")

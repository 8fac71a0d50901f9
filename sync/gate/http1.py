"""HTTP/1.1 as a gate and the web processes behind it read and write it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from wsgiref.handlers import format_date_time

HEAD_END = b"\r\n\r\n"

Headers = Sequence[tuple[str, str]]


def read(request: bytes) -> tuple[dict[str, str], bytes]:
    """Read the headers of a whole request, and its body.

    Names are in lower case. Of a header that comes twice, the first counts.
    """
    head, _, body = request.partition(HEAD_END)
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), value.strip(" \t"))
    return headers, body


def written(status: HTTPStatus, headers: Headers, body: bytes) -> bytes:
    """Write a whole answer."""
    return head(status, tuple(headers), len(body), _date(int(time.time()))) + body


@lru_cache(maxsize=256)
def head(
    status: HTTPStatus, headers: Headers, length: int, date: str | None = None
) -> bytes:
    """Write what comes before a body of so many bytes."""
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers),
        f"Content-Length: {length}",
    ]
    if date is not None:
        lines.append(f"Date: {date}")
    return "\r\n".join([*lines, "", ""]).encode()


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return format_date_time(second)

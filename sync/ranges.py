"""Conditions and ranges of requests for bytes that never change (RFC 9110)."""

from __future__ import annotations

import re

from django.http import HttpRequest
from django.utils.http import parse_etags

from sync.exceptions import PreconditionFailed, RangeNotSatisfiable

#: One range; several at once are answered with the whole, as anyone may.
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


def is_held(request: HttpRequest, etag: str) -> bool:
    """Tell whether the caller has what it asks for (304).

    Raises ``PreconditionFailed`` if it wants something else that it has a part of.
    """
    match = request.headers.get("If-Match")
    if match is not None and not {"*", etag} & set(parse_etags(match)):
        raise PreconditionFailed(field="If-Match", accepted=etag)
    held = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in held or etag in (each.removeprefix("W/") for each in held)


def wanted(request: HttpRequest, etag: str, size_bytes: int) -> range | None:
    """Give the bytes that are asked for; None for all of them.

    Raises ``RangeNotSatisfiable`` if there are none of those.
    """
    header = request.headers.get("Range")
    # A weak ETag or a date proves nothing about bytes.
    is_same = request.headers.get("If-Range", etag) == etag
    if header is None or request.method != "GET" or not is_same:
        return None
    parsed = _RANGE.fullmatch(header.strip())
    if parsed is None or parsed[0].lower() == "bytes=-":
        return None
    first, last = parsed.groups()
    if first == "":
        found = range(max(0, size_bytes - int(last)), size_bytes)
    else:
        end = int(last) + 1 if last else size_bytes
        if end <= int(first) and last:
            return None  # backwards is no range
        found = range(int(first), min(end, size_bytes))
    if not found:
        raise RangeNotSatisfiable(
            field="Range", accepted=f"bytes below {size_bytes}", limit=size_bytes
        )
    return found

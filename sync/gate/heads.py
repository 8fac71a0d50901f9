"""As much of HTTP/1.1 as tells a usual sync, and where it ends.

What isn't recognised is passed on as it is: a server of HTTP reads it.
"""

from __future__ import annotations

import re

from sync.event_door import LARGEST_BODY_BYTES
from sync.gate.http1 import HEAD_END

#: A web process' loop reads it.
LARGEST_HEAD_BYTES = 4096

_SYNC = b"POST /api/v1/sync HTTP/1.1\r\n"
#: Each header that tells where a message ends, what it is, or what becomes of the
#: connection: the length, "p" or "k", where it is as TVs have it.
_TELLING = re.compile(
    rb"\r\n(?:content-length:[ \t]*(\d{1,5})[ \t]*(?=\r\n)"
    rb"|content-type:[ \t]*application/(?:x-)?(p)rotobuf[ \t]*(?=\r\n)"
    rb"|connection:[ \t]*(k)eep-alive[ \t]*(?=\r\n)"
    rb"|content-length|content-type|connection|transfer-encoding|expect|upgrade)",
    re.IGNORECASE,
)


def sync_bytes_missing(data: bytes) -> int | None:
    """How many bytes are still to come of a usual sync that begins like this.

    None if this is no head of one, or more than one.
    """
    end = data.find(HEAD_END, 0, LARGEST_HEAD_BYTES)
    if end < 0 or not data.startswith(_SYNC):
        return None
    head = data[: end + 2]
    if _has_odd_lines(head):
        return None
    length = _body_bytes(head)
    if length is None or length > LARGEST_BODY_BYTES:
        return None
    missing = end + len(HEAD_END) + length - len(data)
    return missing if missing >= 0 else None


def _has_odd_lines(head: bytes) -> bool:
    """Whether somebody may see other headers: folded, or behind a bare CR or LF."""
    count = head.count(b"\r\n")
    return (
        head.count(b"\n") != count
        or head.count(b"\r") != count
        or b"\n " in head
        or b"\n\t" in head
    )


def _body_bytes(head: bytes) -> int | None:
    """Read the length of a body in protobuf; None if that isn't all that is told."""
    length = None
    is_protobuf = False
    for digits, protobuf, keep_alive in _TELLING.findall(head):
        if digits and length is None:
            length = int(digits)
        elif protobuf and not is_protobuf:
            is_protobuf = True
        elif not keep_alive:
            return None
    return length if is_protobuf else None

"""As much of HTTP/1.1 as tells a usual sync, and where it ends.

What isn't recognised is passed on as it is: a server of HTTP reads it.
"""

from __future__ import annotations

import re

from sync.event_door import LARGEST_BODY_BYTES
from sync.gate.http1 import HEAD_END

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
    end = data.find(HEAD_END)
    if end < 0 or not data.startswith(_SYNC):
        return None
    # Some take a bare line feed for the end of a line, and read other headers.
    if data.count(b"\n", 0, end) != data.count(b"\r\n", 0, end):
        return None
    length = _body_bytes(data, end + 2)
    if length is None or length > LARGEST_BODY_BYTES:
        return None
    missing = end + len(HEAD_END) + length - len(data)
    return missing if missing >= 0 else None


def _body_bytes(data: bytes, end: int) -> int | None:
    """Read the length of a body in protobuf; None if that isn't all that is told."""
    length = None
    is_protobuf = False
    for digits, protobuf, keep_alive in _TELLING.findall(data, 0, end):
        if digits and length is None:
            length = int(digits)
        elif protobuf and not is_protobuf:
            is_protobuf = True
        elif not keep_alive:
            return None
    return length if is_protobuf else None

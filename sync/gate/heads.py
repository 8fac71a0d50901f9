"""As much of HTTP/1.1 as tells where a sync ends, and where its answer does.

What isn't recognised is passed on as it is: the web process reads it.
"""

from __future__ import annotations

import re

_SYNC = b"POST /api/v1/sync HTTP/1.1\r\n"
_HEAD_END = b"\r\n\r\n"
#: All that tells where a message ends; the length, where it is no more than that.
_TELLING = re.compile(
    rb"\r\n(?:content-length:[ \t]*(\d{1,9})[ \t]*(?=\r\n)"
    rb"|content-length|transfer-encoding|expect|upgrade)",
    re.IGNORECASE,
)


def sync_bytes_missing(data: bytes) -> int | None:
    """How many bytes are still to come of a sync that begins like this.

    None if this is no head of a sync, or more than one sync.
    """
    return _missing(data) if data.startswith(_SYNC) else None


def answer_bytes_missing(data: bytes) -> int | None:
    """How many are still to come of an answer; None if its head doesn't tell."""
    return _missing(data)


def is_whole_head(data: bytes) -> bool:
    return _HEAD_END in data


def _missing(data: bytes) -> int | None:
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    told = _TELLING.findall(data, 0, end + 2)
    if len(told) != 1 or not told[0]:
        return None
    missing = end + len(_HEAD_END) + int(told[0]) - len(data)
    return missing if missing >= 0 else None

from __future__ import annotations

import pytest

from sync.event_door import LARGEST_BODY_BYTES
from sync.gate.heads import LARGEST_HEAD_BYTES, sync_bytes_missing

SYNC = b"POST /api/v1/sync HTTP/1.1\r\nHost: a\r\n"
USUAL = SYNC + b"Content-Type: application/protobuf\r\n"


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (USUAL + b"Content-Length: 5\r\n\r\n", 5),
        (USUAL + b"Content-Length: 5\r\n\r\nab", 3),
        (USUAL + b"content-length:5\r\n\r\nabcde", 0),
        (USUAL + b"CONTENT-LENGTH: \t5 \r\n\r\nabcde", 0),
        (USUAL + b"Content-Length: 5\r\nConnection: Keep-Alive\r\n\r\n", 5),
        (SYNC + b"Content-Length: 5\r\ncontent-type:application/x-protobuf\r\n\r\n", 5),
        (
            USUAL + b"Content-Length: %d\r\n\r\n" % LARGEST_BODY_BYTES,
            LARGEST_BODY_BYTES,
        ),
    ],
)
def test_a_usual_sync_ends_where_its_length_says(data, missing):
    assert sync_bytes_missing(data) == missing


@pytest.mark.parametrize(
    "data",
    [
        USUAL,  # more of the head is to come
        USUAL + b"\r\n",  # no length
        USUAL + b"Content-Length: 5\r\n\r\nabcdePOST",
        USUAL + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        USUAL + b"Content-Length: +5\r\n\r\n",
        USUAL + b"Content-Length: 5, 5\r\n\r\n",
        USUAL + b"Content-Length : 5\r\n\r\n",
        USUAL + b"Content-Length: 99999999999\r\n\r\n",
        USUAL + b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY_BYTES + 1),
        USUAL + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nConnection: close\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nConnection: keep-alive, upgrade\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nUpgrade: h2c\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nA: b\rTransfer-Encoding: chunked\r\n\r\n",
        USUAL + b"Content-Length: 5\r\n 7\r\n\r\n",
        USUAL + b"A: b\r\n\tc\r\nContent-Length: 5\r\n\r\n",
        USUAL + b"Content-Length: 5\r\nA: " + b"b" * LARGEST_HEAD_BYTES + b"\r\n\r\n",
        USUAL + b"Content-Type: application/json\r\nContent-Length: 5\r\n\r\n",
        SYNC + b"Content-Length: 5\r\n\r\n",  # no type
        SYNC + b"Content-Length: 5\r\nContent-Type: application/json\r\n\r\n",
        USUAL.replace(b"POST", b"GET") + b"Content-Length: 5\r\n\r\n",
        USUAL.replace(b"/sync", b"/sync/") + b"Content-Length: 5\r\n\r\n",
        USUAL.replace(b"1.1", b"1.0") + b"Content-Length: 5\r\n\r\n",
    ],
)
def test_what_is_not_certainly_a_usual_sync_is_none(data):
    assert sync_bytes_missing(data) is None


def test_a_length_in_a_body_is_no_head():
    data = USUAL + b"Content-Length: 25\r\n\r\n\r\nContent-Length: 5\r\n\r\n"

    assert sync_bytes_missing(data) == 25 - len(b"\r\nContent-Length: 5\r\n\r\n")

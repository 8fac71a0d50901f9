from __future__ import annotations

import pytest

from sync.gate.heads import answer_bytes_missing, sync_bytes_missing

SYNC = b"POST /api/v1/sync HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (SYNC + b"Content-Length: 5\r\n\r\n", 5),
        (SYNC + b"Content-Length: 5\r\n\r\nab", 3),
        (SYNC + b"content-length:5\r\n\r\nabcde", 0),
        (SYNC + b"CONTENT-LENGTH: \t5 \r\n\r\nabcde", 0),
    ],
)
def test_a_sync_ends_where_its_length_says(data, missing):
    assert sync_bytes_missing(data) == missing


@pytest.mark.parametrize(
    "data",
    [
        SYNC,  # more of the head is to come
        SYNC + b"\r\n",  # no length
        SYNC + b"Content-Length: 5\r\n\r\nabcdePOST",
        SYNC + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        SYNC + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        SYNC + b"Content-Length: +5\r\n\r\n",
        SYNC + b"Content-Length: 5, 5\r\n\r\n",
        SYNC + b"Content-Length: 99999999999\r\n\r\n",
        SYNC + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        SYNC + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        SYNC.replace(b"POST", b"GET") + b"Content-Length: 5\r\n\r\n",
        SYNC.replace(b"/sync", b"/sync/") + b"Content-Length: 5\r\n\r\n",
        SYNC.replace(b"1.1", b"1.0") + b"Content-Length: 5\r\n\r\n",
    ],
)
def test_what_is_not_certainly_a_sync_is_none(data):
    assert sync_bytes_missing(data) is None


def test_a_length_in_a_body_is_no_head():
    data = SYNC + b"Content-Length: 25\r\n\r\n\r\nContent-Length: 5\r\n\r\n"

    assert sync_bytes_missing(data) == 25 - len(b"\r\nContent-Length: 5\r\n\r\n")


def test_an_answer_without_length_has_no_known_end():
    assert answer_bytes_missing(b"HTTP/1.1 100 Continue\r\n\r\n") is None
    assert answer_bytes_missing(b"HTTP/1.1 204 No Content\r\n\r\n") is None
    assert answer_bytes_missing(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na") == 2

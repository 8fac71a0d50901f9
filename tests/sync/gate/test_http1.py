from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

from django.utils import timezone

from sync.gate import http1


class Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> BytesIO:
        return BytesIO(self._data)


def test_headers_are_found_by_their_names_in_lower_case():
    request = (
        b"POST / HTTP/1.1\r\nAccept: a/b, c/d\r\nX-ODD:\t caf\xe9 : \r\nEmpty:\r\n"
        b"\r\nbody\r\n\r\nand more"
    )

    headers, body = http1.read(request)

    assert headers == {"accept": "a/b, c/d", "x-odd": "caf\xe9 :", "empty": ""}
    assert body == b"body\r\n\r\nand more"


def test_of_a_header_that_comes_twice_the_first_counts():
    headers, _ = http1.read(b"POST / HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n")

    assert headers == {"a": "1"}


def test_an_answer_is_what_a_client_reads():
    written = http1.written(
        HTTPStatus.UNAUTHORIZED, [("Content-Type", "a/b"), ("Vary", "c, d")], b"{}"
    )
    sock: Any = Socket(written)

    response = HTTPResponse(sock)
    response.begin()

    assert (response.status, response.reason) == (401, "Unauthorized")
    assert response.read() == b"{}"
    headers = dict(response.getheaders())
    date = parsedate_to_datetime(headers.pop("Date"))
    assert abs((timezone.now() - date).total_seconds()) < 5
    assert headers == {"Content-Type": "a/b", "Vary": "c, d", "Content-Length": "2"}
    assert re.fullmatch(rb"(?s).*\r\n\r\n\{\}", written)

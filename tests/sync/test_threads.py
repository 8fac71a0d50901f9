"""A WSGI application behind an event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sync.threads import in_threads
from tests.sync.loop_client import Headers, Protocol, Scope

LIMIT = 1000


@pytest.fixture(autouse=True)
def _limit(settings):
    settings.BODY_LIMIT_BYTES = LIMIT


class Application:
    """Answers with what it read, and remembers what it was told."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}
        self.is_closed = False

    def __call__(self, environ, start_response):
        self.environ = environ
        start_response("201 Created", [("X-Said", "yes")])
        return self

    def __iter__(self):
        yield b"it read "
        yield self.environ["wsgi.input"].read()

    def close(self) -> None:
        self.is_closed = True


def ask(body: bytes, **headers: str) -> tuple[Application, Protocol]:
    application, protocol = Application(), Protocol(body, chunk_bytes=100)
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    scope = Scope("/contents/é", Headers(told), query_string="after=%20")

    async def come() -> None:
        await in_threads(application, 2)(scope, protocol)

    asyncio.run(come())
    return application, protocol


def test_application_is_told_what_came():
    application, protocol = ask(b"hello", content_length="5", content_type="text/x")

    assert (protocol.status, protocol.answer) == (201, b"it read hello")
    assert protocol.headers == [("X-Said", "yes")]
    assert application.is_closed
    told = application.environ
    assert told["PATH_INFO"].encode("latin-1").decode() == "/contents/é"
    assert told["QUERY_STRING"] == "after=%20"
    assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("tv.example", "80")
    assert told["REMOTE_ADDR"] == "192.0.2.1"
    assert (told["CONTENT_LENGTH"], told["CONTENT_TYPE"]) == ("5", "text/x")


def test_body_that_says_it_is_too_long_is_not_read():
    _, protocol = ask(b"x" * (LIMIT + 1), content_length=str(LIMIT + 1))

    assert (protocol.read_bytes, protocol.answer) == (0, b"it read ")


def test_body_without_an_end_is_read_as_far_as_shows_that():
    _, protocol = ask(b"x" * 50 * LIMIT, transfer_encoding="chunked")

    assert LIMIT < protocol.read_bytes <= LIMIT + 100
    assert len(protocol.answer) > LIMIT

"""Syncs straight from WSGI, as a server hands them over."""

from __future__ import annotations

import io
from http import HTTPStatus
from typing import Any

import orjson
import pytest
from django.db import connections
from prometheus_client import REGISTRY

from shards.exceptions import ConstellationError
from sync import front_door, load, service
from tests.sync.binary import PROTOBUF, sync_document, sync_message
from tests.sync.television import SYNC, Television, addition

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

Answer = tuple[str, dict[str, str], bytes]


def django(environ, start_response):
    """Stand for everything behind the front door."""
    start_response("204 No Content", [("X-Asked", environ["PATH_INFO"])])
    return [b""]


def request(tv: Television, body: bytes = b"", **environ: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": SYNC,
        "QUERY_STRING": "",
        "SERVER_NAME": "tv.example",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": tv.authorization,
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    } | environ


def answer(environ: dict[str, Any]) -> Answer:
    told: list[Any] = []

    def start_response(status, headers, _error=None):
        told.extend((status, headers))
        return told.append

    chunks = front_door.in_front_of(django)(environ, start_response)
    status, headers = told
    assert len({name for name, _ in headers}) == len(headers), "a header came twice"
    return status, dict(headers), b"".join(chunks)


def test_sync_is_answered(vega_tv):
    body = orjson.dumps(vega_tv.body(added=[addition()]))

    status, headers, reply = answer(request(vega_tv, body))

    assert status == "200 OK"
    assert headers == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding, Accept",
    }
    assert orjson.loads(reply)["accepted"]["stored"] == 1
    assert len(vega_tv.stored()) == 1


def test_sync_is_answered_in_protobuf(vega_tv):
    body = sync_message(vega_tv.body(added=[addition()])).SerializeToString()

    status, headers, reply = answer(request(vega_tv, body, CONTENT_TYPE=PROTOBUF))

    assert (status, headers["Content-Type"]) == ("200 OK", PROTOBUF)
    assert sync_document(reply)["accepted"]["stored"] == 1


def test_body_ends_where_its_length_says(vega_tv):
    """What follows on a connection belongs to the next request."""
    body = orjson.dumps(vega_tv.body())
    environ = request(vega_tv, body, **{"wsgi.input": io.BytesIO(body + b"POST /")})

    status, _, _ = answer(environ)

    assert status == "200 OK"
    assert environ["wsgi.input"].read() == b"POST /"


def test_body_without_a_length_or_an_end_is_empty(vega_tv):
    environ = request(vega_tv, orjson.dumps(vega_tv.body()))
    del environ["CONTENT_LENGTH"]

    _, _, reply = answer(environ)

    assert orjson.loads(reply)["code"] == "malformed_body"
    assert environ["wsgi.input"].tell() == 0


def test_refusal_is_a_problem(vega_tv):
    status, headers, reply = answer(request(vega_tv, HTTP_AUTHORIZATION="Device x"))

    assert status == "401 Unauthorized"
    assert headers == {
        "Content-Type": "application/problem+json",
        "Cache-Control": "no-store",
        "WWW-Authenticate": "Device",
        "Vary": "Accept",
    }
    assert orjson.loads(reply)["code"] == "token_invalid"


def sent_away() -> float:
    labels = {"shard_id": "none", "status": "overloaded"}
    return REGISTRY.get_sample_value("constellation_sync_requests_total", labels) or 0.0


def test_too_many_at_once_are_sent_away_unread(vega_tv, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(load, "_in_flight", load.in_flight_limit())
    environ = request(vega_tv, b"not even JSON")
    before = sent_away()

    status, headers, reply = answer(environ)

    assert status == "503 Service Unavailable"
    assert headers["Content-Type"] == "application/problem+json"
    problem = orjson.loads(reply)
    assert problem["code"] == "overloaded"
    assert int(headers["Retry-After"]) == problem["retry_after_seconds"] > 0
    assert environ["wsgi.input"].tell() == 0
    assert sent_away() - before == 1


def test_place_is_given_back_whatever_happens(vega_tv, monkeypatch):
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(service, "sync", fails)

    answer(request(vega_tv, orjson.dumps(vega_tv.body())))

    assert load.used_fraction() == 0


def test_bug_is_logged_and_told_without_its_details(vega_tv, monkeypatch, caplog):
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(service, "sync", fails)

    status, headers, reply = answer(request(vega_tv, orjson.dumps(vega_tv.body())))

    assert status == "500 Internal Server Error"
    assert headers["Content-Type"] == "application/problem+json"
    assert orjson.loads(reply)["code"] == ConstellationError.code
    assert b"secret" not in reply
    assert "a secret of ours" in caplog.text


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", SYNC), ("OPTIONS", SYNC), ("POST", SYNC + "/"), ("POST", "/api/v1/info")],
)
def test_everything_else_is_left_to_django(vega_tv, method, path):
    environ = request(vega_tv, REQUEST_METHOD=method, PATH_INFO=path)

    status, headers, _ = answer(environ)

    assert status.startswith(str(HTTPStatus.NO_CONTENT.value))
    assert headers == {"X-Asked": path}


@pytest.mark.django_db(databases=["default", "shard_000"], transaction=True)
def test_database_that_hung_up_is_called_again(vega_tv):
    """It was restarted: whoever had a connection finds out at the next statement."""
    body = orjson.dumps(vega_tv.body())
    assert answer(request(vega_tv, body))[0] == "200 OK"
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            [connections["shard_000"].settings_dict["NAME"]],
        )

    # The first may be told to come again.
    answers = [answer(request(vega_tv, body)) for _ in range(2)]

    assert answers[-1][0] == "200 OK"

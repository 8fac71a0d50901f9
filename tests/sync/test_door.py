"""Who is let in to sync, in which order it is asked, and what happens under load."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
import time_machine
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from shards import tokens
from shards.models import Device
from sync import load
from tests.sync.television import SYNC, addition

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])


@contextmanager
def no_query_anywhere():
    """No statement may reach any database, the control database included."""
    with ExitStack() as stack:
        captured = [
            stack.enter_context(CaptureQueriesContext(connections[alias]))
            for alias in ("default", "shard_000")
        ]
        yield
    assert [query for each in captured for query in each.captured_queries] == []


def forged(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def of_another_key(tv, settings) -> str:
    with_key = settings.SECRET_KEY
    settings.SECRET_KEY = "the key of some other installation, not of ours"
    issued = tokens.issue(device_id=tv.device_id, shard_id=0, token_epoch=0)
    settings.SECRET_KEY = with_key
    return issued.token


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "token_missing"),
        ("Device", "token_missing"),
        ("Device ", "token_missing"),
        ("Bearer {good}", "token_missing"),
        ("Token {good}", "token_missing"),
        ("Device nonsense", "token_invalid"),
        ("Device {forged}", "token_invalid"),
        ("Device {good}x", "token_invalid"),
        ("Device {of_another_key}", "token_invalid"),
        ("Device " + "x" * 7000, "token_invalid"),
    ],
)
def test_nothing_is_read_before_the_signature_holds(vega_tv, settings, header, code):
    header = header.format(
        good=vega_tv.token,
        forged=forged(vega_tv.token),
        of_another_key=of_another_key(vega_tv, settings),
    )

    with no_query_anywhere():
        response = vega_tv.post(vega_tv.body(), authorization=header)

    assert response.status_code == 401
    assert response.json()["code"] == code
    assert response["WWW-Authenticate"] == "Device"


def test_expired_token_is_refused_without_a_query(vega_tv):
    with time_machine.travel(timezone.now() + timedelta(days=91)), no_query_anywhere():
        response = vega_tv.post(vega_tv.body())

    assert response.status_code == 401
    assert response.json()["code"] == "token_expired"


def test_token_signed_with_the_previous_key_still_holds(vega_tv, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the new key, which replaces the one of the tests"

    assert vega_tv.post(vega_tv.body()).status_code == 200


def test_token_comes_before_the_body(vega_tv):
    """A stranger learns nothing about what a good body looks like."""
    response = vega_tv.post(b"[" * 1000, authorization="Device nonsense")

    assert response.json()["code"] == "token_invalid"


def test_token_of_another_tv_is_refused(vega_tv, vega_neighbour):
    body = vega_neighbour.body(added=[addition()])

    with no_query_anywhere():
        response = vega_tv.post(body)

    assert response.status_code == 403
    assert response.json()["code"] == "token_of_another_device"
    assert response.json()["field"] == "device_id"
    assert vega_neighbour.stored() == {}


def test_revoked_tv_is_refused(vega_tv):
    Device.objects.using("shard_000").update(revoked_at=timezone.now())

    response = vega_tv.post(vega_tv.body(added=[addition()]))

    assert response.status_code == 403
    assert response.json()["code"] == "device_revoked"
    assert vega_tv.stored() == {}


def test_token_of_an_older_epoch_is_refused(vega_tv):
    Device.objects.using("shard_000").update(token_epoch=1)

    response = vega_tv.post(vega_tv.body(added=[addition()]))

    assert response.status_code == 401
    assert response.json()["code"] == "token_invalid"
    assert vega_tv.stored() == {}


def test_tv_that_was_forgotten_is_unknown(vega_tv):
    Device.objects.using("shard_000").all().delete()

    response = vega_tv.post(vega_tv.body(added=[addition()]))

    assert response.status_code == 401
    assert response.json()["code"] == "device_unknown"


def test_shard_served_elsewhere_is_misdirected(vega, vega_tv, settings):
    vega.sync_url = "https://vega.example/api/v1/sync"
    vega.save()
    settings.SHARD_IDS = frozenset({1})

    response = vega_tv.post(vega_tv.body())

    assert response.status_code == 421
    assert response.json()["code"] == "shard_not_served"
    assert response.json()["sync_url"] == "https://vega.example/api/v1/sync"


def test_shard_without_a_database_here_is_misdirected(vega_tv):
    issued = tokens.issue(device_id=vega_tv.device_id, shard_id=999, token_epoch=0)

    response = vega_tv.post(vega_tv.body(), authorization=f"Device {issued.token}")

    assert response.status_code == 421


@pytest.mark.django_db(databases=["default", "shard_000", "shard_002"])
def test_shard_that_is_down_is_worth_another_try(deneb, vega_tv):
    device_id = uuid4()
    issued = tokens.issue(device_id=device_id, shard_id=deneb.id, token_epoch=0)
    body = vega_tv.body() | {"device_id": str(device_id)}

    response = vega_tv.post(body, authorization=f"Device {issued.token}")

    assert response.status_code == 503
    assert response.json()["code"] == "shard_unavailable"
    assert int(response["Retry-After"]) == response.json()["retry_after_seconds"] >= 30
    assert "nonexistent" not in response.content.decode()
    # The neighbours notice nothing.
    vega_tv.sync(added=[addition()])


def test_control_database_is_not_needed(vega_tv):
    """A sync asks its own shard and nobody else."""
    with CaptureQueriesContext(connections["default"]) as captured:
        vega_tv.sync(added=[addition()])

    assert len(captured) == 0


def test_too_many_at_once_are_sent_away_unread(vega_tv, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(load, "_in_flight", load.in_flight_limit())

    with no_query_anywhere():
        answers = [vega_tv.post(b"not even JSON") for _ in range(40)]

    assert {a.status_code for a in answers} == {503}
    assert answers[0].json()["code"] == "overloaded"
    waits = {int(a["Retry-After"]) for a in answers}
    assert len(waits) > 5, "the same wait for all brings all back at once"
    assert min(waits) >= 10


def test_a_burst_waits_its_turn(vega_tv, monkeypatch):
    """All places are taken, and one is given back a moment later."""
    monkeypatch.setattr(load, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(load, "_full_since", None)
    monkeypatch.setattr(load, "_in_flight", load.in_flight_limit() - 1)
    is_inside, may_leave = threading.Event(), threading.Event()

    def hold_the_last_place():
        with load.admitted():
            is_inside.set()
            may_leave.wait(timeout=60)

    other = threading.Thread(target=hold_the_last_place)
    other.start()
    assert is_inside.wait(timeout=60)
    moment = threading.Timer(0.1, may_leave.set)
    moment.start()

    reply = vega_tv.sync()
    moment.join()
    other.join()

    assert reply["local_version"] == 1


def test_places_are_given_back(vega_tv):
    for _ in range(load.in_flight_limit() + 1):
        vega_tv.post(b"not JSON")

    assert load.used_fraction() == 0
    vega_tv.sync()


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json", 200),
        ("application/*;q=0.3", 200),
        ("text/html, application/json;q=0.1", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/json;q=0, text/*", 406),
        ("application/protobuf;q=0, application/x-protobuf;q=0, text/*", 406),
    ],
)
def test_accept_is_honoured(vega_tv, accept, status):
    response = vega_tv.post(vega_tv.body(), accept=accept)

    assert response.status_code == status
    if status == 406:
        assert response.json()["code"] == "not_acceptable"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/octet-stream", 415),
        ("application/protobuf+json", 415),
    ],
)
def test_content_type_is_honoured(vega_tv, content_type, status):
    body = orjson.dumps(vega_tv.body())

    response = vega_tv.post(body, content_type=content_type)

    assert response.status_code == status
    if status == 415:
        assert response.json()["code"] == "unsupported_media_type"
        accepted = "application/json, application/protobuf, application/x-protobuf"
        assert response.json()["accepted"] == response["Accept"] == accepted


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_sync_is_posted(vega_tv, method):
    response = getattr(vega_tv.client, method)(
        SYNC, headers={"authorization": vega_tv.authorization}
    )

    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"
    assert "POST" in response["Allow"]

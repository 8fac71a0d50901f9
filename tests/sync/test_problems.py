"""Errors are problem+json from every address, and each code is documented."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import pytest
from django.core.exceptions import DisallowedHost
from django.db import OperationalError
from django.test import Client, RequestFactory
from rest_framework.exceptions import ValidationError

import constellation_site.health  # noqa: F401
import federation.exceptions  # noqa: F401
import patterns.exceptions  # noqa: F401  each of them has errors to be listed
from federation import selectors
from shards.exceptions import ConstellationError
from sync import problems
from sync.exceptions import NotFound
from tests.sync.television import SYNC

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

ERRORS_PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def every_error() -> list[type[ConstellationError]]:
    """All classes of errors, of every room."""
    found = [ConstellationError]
    for error in found:
        found += error.__subclasses__()
    return [error for error in found if not error.__module__.startswith("tests.")]


def test_documented_codes_and_statuses_are_those_of_the_code():
    page = ERRORS_PAGE.read_text()
    listed = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE)

    assert sorted((code, int(status)) for code, status in listed) == sorted(
        (error.code, int(error.http_status)) for error in every_error()
    )


def test_problem_has_the_members_of_rfc_9457(client):
    response = client.get("/api/v1/nothing-here")

    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:constellation:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing at this address.",
        "code": "not_found",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/api/v1/", 404),
        ("get", "/api/v1/sync/", 404),
        ("post", "/api/v2/sync", 404),
        ("get", "/nothing", 404),
        ("get", "/health/nothing", 404),
        ("post", "/health/live", 405),
        ("delete", "/health/ready", 405),
        ("put", "/health", 405),
        ("post", "/", 403),
        ("post", "/api/v1/info", 405),
        ("get", SYNC, 405),
        ("post", "/api/v1/publications/current", 405),
        ("delete", "/api/v1/content", 405),
        ("get", "/api/v1/devices", 405),
        ("post", SYNC, 401),
        ("get", "/api/v1/publications/current", 401),
        ("get", "/api/v1/content", 401),
        ("get", "/api/v1/stats", 401),
        ("get", "/api/v1/shards", 401),
        ("post", "/api/v1/content", 401),
    ],
)
def test_every_address_answers_with_problems(method, path, status):
    client = Client(enforce_csrf_checks=True)  # as a server does

    response = getattr(client, method)(path)

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status
    if status == 401:
        assert response["WWW-Authenticate"] in ("Device", "Token")
    if status == 405:
        assert response["Allow"]


def test_console_keeps_pages_for_people(client, admin_client):
    response = admin_client.get("/admin/nothing/")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_form_without_its_csrf_token_gets_a_page_in_the_console():
    response = Client(enforce_csrf_checks=True).post("/admin/login/")

    assert response.status_code == 403
    assert response["Content-Type"].startswith("text/html")


def test_bug_tells_nothing_of_itself(client, monkeypatch):
    def fail(*_args):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(selectors, "current_version", fail)
    client.raise_request_exception = False

    response = client.get("/api/v1/info")

    assert response.status_code == 500
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "internal_error"
    assert "hunter2" not in response.content.decode()


def test_database_that_is_down_is_no_server_error():
    error = problems.translated(OperationalError("no route to 10.0.0.7"), {})

    assert error is not None
    response = problems.response(error)
    assert response.status_code == 503
    assert response["Retry-After"]
    assert b"10.0.0.7" not in response.content


def test_refused_host_is_a_bad_request():
    request = RequestFactory().get("/api/v1/info")

    response = problems.bad_request(request, DisallowedHost("evil.example"))

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_serializers_errors_name_their_field():
    error = problems.translated(
        ValidationError({"items": [{}, {"year": ["A valid integer is required."]}]}), {}
    )

    assert isinstance(error, ConstellationError)
    assert error.code == "invalid_request"
    assert error.facts["field"] == "items.year"


def test_retry_after_is_there_for_every_503():
    for error in every_error():
        if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
            names = re.findall(r"{(\w+)}", error.message)

            assert problems.response(error(**dict.fromkeys(names, 1)))["Retry-After"]


def test_facts_never_replace_the_five_members():
    problem = problems.members(NotFound(status="fine", title="mine", limit=3))

    assert problem["status"] == 404
    assert problem["title"] == "Not found"
    assert problem["limit"] == 3

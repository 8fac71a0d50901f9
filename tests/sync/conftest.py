"""TVs for the tests of the doors, each named after the shard it lives on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.test.client import FakePayload
from django.utils import timezone

from shards import tokens
from shards.models import Device, Shard
from sync.schema.document import document
from tests.sync import contract, grpc_client
from tests.sync.television import Television

EnrolTv = Callable[..., Television]


@pytest.fixture
def wire() -> str:
    """What TVs speak; modules that run their cases through all doors override it."""
    return "json"


@pytest.fixture(scope="module", autouse=True)
def _grpc_ends_with_the_module() -> Iterator[None]:
    """Other tests fork, which gRPC's threads wouldn't survive."""
    yield
    grpc_client.close()


@pytest.fixture
def enrol_tv(wire: str) -> EnrolTv:
    """Put a TV on a shard, as enrolment does."""

    def enrol(shard: Shard, *, device_id: UUID | None = None, **facts) -> Television:
        device = Device.objects.using(shard.alias).create(
            id=device_id or uuid4(),
            **{"batch_id": 1, "region": "global", "enrolled_at": timezone.now()}
            | facts,
        )
        issued = tokens.issue(
            device_id=device.id, shard_id=shard.id, token_epoch=device.token_epoch
        )
        return Television(
            device_id=device.id,
            shard_alias=shard.alias,
            token=issued.token,
            wire=wire,
        )

    return enrol


@pytest.fixture
def vega_tv(vega: Shard, enrol_tv: EnrolTv) -> Television:
    """A TV like any other."""
    return enrol_tv(vega)


@pytest.fixture
def vega_neighbour(vega: Shard, enrol_tv: EnrolTv) -> Television:
    """Another household on the same shard."""
    return enrol_tv(vega)


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """Made before any test changes a setting."""
    return document()


@pytest.fixture(autouse=True)
def _described(openapi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every request and reply of every test here against the document."""
    answer = Client.request

    def answer_and_check(client: Client, **request: Any) -> Any:
        body = peek(request)
        response = answer(client, **request)
        check(request, body, response)
        return response

    monkeypatch.setattr(Client, "request", answer_and_check)


def peek(request: dict[str, Any]) -> bytes | None:
    """Read a body and put it back; None for a stream that a test made itself."""
    payload = request.get("wsgi.input")
    if type(payload) is not FakePayload:
        return None
    body: bytes = payload.read()
    request["wsgi.input"] = FakePayload(body)
    return body


def check(request: dict[str, Any], body: bytes | None, response: Any) -> None:
    path, method = request["PATH_INFO"], request["REQUEST_METHOD"]
    if not path.startswith("/api/") or path == "/api/v1/docs":
        return
    if method == "OPTIONS":  # HTTP's own, and no operation
        return
    operation = contract.operation_at(path, method)
    if operation is None:
        contract.check_elsewhere(response)
        return
    contract.check_reply(operation, method, response)
    if response.status_code < 300 and body is not None:
        encoding = request.get("HTTP_CONTENT_ENCODING", "")
        contract.check_request(
            operation,
            body,
            content_type=request.get("CONTENT_TYPE", ""),
            encoding=encoding,
        )

"""The same refusals and limits through JSON, protobuf and gRPC, answer by answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import orjson
import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token

from constellation.v1 import device_pb2, status_pb2
from shards import tokens
from shards.models import Device, EnrolmentBatch, Shard
from shards.services import batches, operators
from sync import load, service
from sync.version import VERSION
from tests.sync import grpc_client
from tests.sync.binary import PROTOBUF
from tests.sync.publishing import publish
from tests.sync.television import (
    WIRES,
    Television,
    addition,
    decoded,
    embedding,
    update,
)

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SOME_ID = UUID(int=7)
MISSING = object()
ADDED, UPDATED = "delta.patterns_added[1]", "delta.patterns_updated[1]"

#: Facts of a problem that say how a format writes things, and what is drawn at random.
_NOT_COMPARED = {"detail", "accepted", "retry_after_seconds", "next_sync_seconds"}


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def added(**parts: Any) -> dict[str, Any]:
    """A good addition and another one with these parts."""
    spoilt = addition(SOME_ID) | parts
    kept = {name: value for name, value in spoilt.items() if value is not MISSING}
    return {"added": [addition(), kept]}


def updated(**parts: Any) -> dict[str, Any]:
    spoilt = update(SOME_ID) | parts
    kept = {name: value for name, value in spoilt.items() if value is not MISSING}
    return {"updated": [update(uuid4()), kept]}


def spoilt(index: int, value: float) -> list[float]:
    numbers = embedding(1)
    numbers[index] = value
    return numbers


REFUSED = [
    (added(id=MISSING), f"{ADDED}.id"),
    (added(embedding=MISSING), f"{ADDED}.embedding"),
    (added(embedding=[]), f"{ADDED}.embedding"),
    (added(embedding=embedding(1)[:-1]), f"{ADDED}.embedding"),
    (added(embedding=[*embedding(1), 0.1]), f"{ADDED}.embedding"),
    (added(embedding=[0.0] * 384), f"{ADDED}.embedding"),
    (added(embedding=[1e-9] * 384), f"{ADDED}.embedding"),
    (added(embedding=[100.0] * 384), f"{ADDED}.embedding"),
    (added(embedding=spoilt(0, 1001.0)), f"{ADDED}.embedding"),
    (added(success_rate=MISSING), f"{ADDED}.success_rate"),
    (added(success_rate=-0.01), f"{ADDED}.success_rate"),
    (added(success_rate=1.0001), f"{ADDED}.success_rate"),
    (added(sample_count=MISSING), f"{ADDED}.sample_count"),
    (added(sample_count=0), f"{ADDED}.sample_count"),
    (added(sample_count=2**31), f"{ADDED}.sample_count"),
    # As uint32 it would be 5.
    (added(sample_count=2**32 + 5), f"{ADDED}.sample_count"),
    (added(context={"genre_hints": ["x"] * 9}), f"{ADDED}.context.genre_hints"),
    (added(context={"genre_hints": ["x", ""]}), f"{ADDED}.context.genre_hints[1]"),
    (added(context={"genre_hints": ["x" * 33]}), f"{ADDED}.context.genre_hints[0]"),
    (added(context={"genre_hints": ["a\0b"]}), f"{ADDED}.context.genre_hints[0]"),
    (added(context={"content_ids": ["x"] * 9}), f"{ADDED}.context.content_ids"),
    (added(context={"content_ids": ["é" * 65]}), f"{ADDED}.context.content_ids[0]"),
    (added(created_at=-1), f"{ADDED}.created_at"),
    (added(updated_at=253402300800), f"{ADDED}.updated_at"),
    (updated(id=MISSING), f"{UPDATED}.id"),
    (updated(new_success_rate=MISSING), f"{UPDATED}.new_success_rate"),
    (updated(new_success_rate=1.5), f"{UPDATED}.new_success_rate"),
    (updated(additional_samples=MISSING), f"{UPDATED}.additional_samples"),
    (updated(additional_samples=2**31), f"{UPDATED}.additional_samples"),
    ({"added": [addition(SOME_ID), addition(SOME_ID)]}, f"{ADDED}.id"),
    ({"updated": [update(SOME_ID), update(SOME_ID)]}, f"{UPDATED}.id"),
    ({"removed": [SOME_ID, SOME_ID]}, "delta.patterns_removed[1]"),
    ({"local_version": 2**63}, "delta.local_version"),
    ({"base_version": 2**63}, "base_version"),
    ({"global_version": 2**64 - 1}, "global_version"),
    ({"embedding_encodings": ["codes"]}, "embedding_encodings"),
    ({"embedding_encodings": ["int8"] * 9}, "embedding_encodings"),
]


@pytest.mark.parametrize(("parts", "field"), REFUSED)
def test_refusal_names_the_same_field(vega_tv, parts, field):
    problem = refused(vega_tv, vega_tv.body(**parts))

    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert problem["field"] == field
    assert problem["accepted"] in problem["detail"]
    assert vega_tv.stored() == {}


@pytest.mark.parametrize("name", ["device_id", "delta"])
def test_what_is_required_is_missed(vega_tv, name):
    problem = refused(vega_tv, without(vega_tv.body(), name))

    assert problem["field"] == name
    assert "missing" in problem["detail"]


def test_version_is_required_even_if_it_is_zero(vega_tv):
    body = vega_tv.body()
    del body["delta"]["local_version"]

    assert refused(vega_tv, body)["field"] == "delta.local_version"


@pytest.mark.parametrize("count", [65, 300, 2000])
def test_too_many_patterns_are_counted_the_same(vega_tv, count):
    ids = [UUID(int=i) for i in range(count)]

    problem = refused(vega_tv, vega_tv.body(removed=ids))

    assert problem["code"] == "too_many_patterns"
    assert problem["field"] == "delta"
    assert (problem["limit"], problem["limit_name"]) == (64, "patterns_per_sync")


def test_sync_takes_64_patterns(vega_tv):
    reply = vega_tv.sync(
        added=[addition(seed=i) for i in range(30)],
        updated=[update(UUID(int=i)) for i in range(30)],
        removed=[UUID(int=i) for i in range(4)],
    )

    assert reply["accepted"]["stored"] == 30


def test_tv_keeps_256_patterns_and_no_more(vega_tv):
    for start in range(0, 256, 64):
        vega_tv.sync(added=[addition(UUID(int=start + i)) for i in range(64)])

    problem = refused(vega_tv, vega_tv.body(added=[addition()]))

    assert problem["code"] == "too_many_patterns"
    assert problem["limit_name"] == "patterns_per_device"


def test_longest_of_everything_is_accepted(vega_tv):
    context = {
        "genre_hints": [chr(0x1F600 + i) * 32 for i in range(8)],
        "content_ids": [chr(0x4E00 + i) * 64 for i in range(8)],
    }
    largest = addition(
        sample_count=2**31 - 1, context=context, created_at=0, updated_at=253402300799
    )

    reply = vega_tv.sync(
        added=[largest], local_version=2**63 - 1, global_version=2**63 - 1
    )

    assert reply["local_version"] == 2**63 - 1
    (pattern,) = vega_tv.stored().values()
    assert pattern.content_ids == context["content_ids"]


def test_revoked_tv_is_refused(vega_tv):
    Device.objects.using("shard_000").update(revoked_at=timezone.now())

    assert refused(vega_tv, vega_tv.body())["code"] == "device_revoked"


def test_token_of_another_tv_is_refused(vega_tv, vega_neighbour):
    problem = refused(vega_tv, vega_neighbour.body(added=[addition()]))

    assert problem["code"] == "token_of_another_device"
    assert problem["field"] == "device_id"


# Who is let in


def forged(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "token_missing"),
        ("Device", "token_missing"),
        ("Bearer {good}", "token_missing"),
        ("Token {good}", "token_missing"),
        ("Device nonsense", "token_invalid"),
        ("Device {forged}", "token_invalid"),
        ("Device {good}x", "token_invalid"),
        ("Device " + "x" * 7000, "token_invalid"),
    ],
)
def test_token_comes_before_the_body(vega_tv, header, code):
    header = header.format(good=vega_tv.token, forged=forged(vega_tv.token))

    problem = refused(vega_tv, b"[" * 1000, authorization=header)

    assert (problem["code"], problem["status"]) == (code, 401)


def test_expired_token_is_refused(vega_tv):
    with time_machine.travel(timezone.now() + timedelta(days=91), tick=False):
        problem = refused(vega_tv, vega_tv.body())

    assert problem["code"] == "token_expired"


def test_token_of_an_older_epoch_is_refused(vega_tv):
    Device.objects.using("shard_000").update(token_epoch=1)

    assert refused(vega_tv, vega_tv.body())["code"] == "token_invalid"


def test_tv_that_was_forgotten_is_unknown(vega_tv):
    Device.objects.using("shard_000").all().delete()

    problem = refused(vega_tv, vega_tv.body(added=[addition()]))

    assert (problem["code"], problem["status"]) == ("device_unknown", 401)


def test_shard_served_elsewhere_is_misdirected(vega, vega_tv, settings):
    vega.sync_url = "https://vega.example/api/v1/sync"
    vega.save()
    settings.SHARD_IDS = frozenset({1})

    problem = refused(vega_tv, b"not even read")

    assert (problem["code"], problem["shard_id"]) == ("shard_not_served", 0)
    assert problem["sync_url"] == "https://vega.example/api/v1/sync"


@pytest.mark.django_db(databases=["default", "shard_000", "shard_002"])
def test_shard_that_is_down_is_worth_another_try(deneb, vega_tv):
    device_id = uuid4()
    issued = tokens.issue(device_id=device_id, shard_id=deneb.id, token_epoch=0)
    body = vega_tv.body() | {"device_id": str(device_id)}

    problem = refused(vega_tv, body, authorization=f"Device {issued.token}")

    assert (problem["code"], problem["status"]) == ("shard_unavailable", 503)
    # The neighbours notice nothing.
    vega_tv.sync(added=[addition()])


def test_too_many_at_once_are_sent_away_unread(vega_tv, monkeypatch):
    monkeypatch.setattr(load, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(load, "_in_flight", load.in_flight_limit())
    monkeypatch.setattr(load, "_on_loop", load.LOOP_PLACES)

    problem = refused(vega_tv, b"not even read", authorization="")

    assert (problem["code"], problem["status"]) == ("overloaded", 503)


def test_body_above_the_limit_is_refused(vega_tv):
    problem = refused(vega_tv, bytes(256 * 1024 + 1))

    assert (problem["code"], problem["limit"]) == ("body_too_large", 256 * 1024)


def test_bug_of_ours_is_told_without_its_details(vega_tv, monkeypatch, client):
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(service, "sync", fails)
    monkeypatch.setattr(service, "sync_soon", fails)
    vega_tv.client.raise_request_exception = False

    problem = refused(vega_tv, vega_tv.body())

    assert (problem["code"], problem["status"]) == ("internal_error", 500)
    assert "secret" not in str(problem)


# What is applied


def test_retry_may_come_through_another_door(vega_tv):
    """A TV that isn't answered tries what else there is."""
    known = uuid4()
    vega_tv.sync(added=[addition(known)])
    body = vega_tv.body(added=[addition()], updated=[update(known)], removed=[SOME_ID])
    first = vega_tv.post(body).json()

    for wire in WIRES:
        again = with_wire(vega_tv, wire, body)

        assert again.status_code == 200
        assert again.json()["accepted"] == first["accepted"]
    assert vega_tv.stored()[known].sample_count == 15


def test_same_request_is_answered_the_same(vega_tv):
    publish(
        "shard_000",
        version=3,
        centroids=np.random.default_rng(1).normal(size=(120, 384)),
        masses=[float(i) for i in range(120)],
        trends={"global": ["tt1", "genre:saga", "tt1001"]},
        links={"tt0133093": ["tt9", "tt1"], "tt1": ["tt5"]},
    )
    body = vega_tv.body(added=[addition(context={"content_ids": ["tt1", "tt0133093"]})])

    told_by = [with_wire(vega_tv, wire, body).json() for wire in WIRES]

    plain = told_by[0]["global"].pop("similar")
    assert len(plain) == 100
    for other in told_by[1:]:
        for ours, theirs in zip(other["global"].pop("similar"), plain, strict=True):
            vector = ours.pop("embedding")
            assert vector == pytest.approx(theirs["embedding"], abs=1e-6)
            assert ours == {k: v for k, v in theirs.items() if k != "embedding"}
        assert told(other) == told(told_by[0])


# Enrolment


@pytest.fixture
def spring(vega):
    return batches.create_batch(name="spring", region="eu", max_devices=2)


def test_enrolment_gives_the_same_through_all_doors(vega, spring):
    vega.sync_url = "https://vega.example/api/v1/sync"
    vega.grpc_target = "vega.example:50051"
    vega.save()
    tv_id = uuid4()

    replies = enrolled_by_all(
        enrolment_key=spring.enrolment_key, device_id=str(tv_id), model="LX-55"
    )

    for reply in replies:
        token = tokens.read(f"Device {reply.pop('token')}")
        assert (token.device_id, token.shard_id) == (tv_id, vega.id)
        assert datetime.fromisoformat(reply.pop("token_expires_at")) > timezone.now()
    assert told(replies[0]) == told(replies[1]) == told(replies[2])
    assert replies[0]["grpc_target"] == "vega.example:50051"


def test_enrolment_tells_where_the_other_door_is(vega, spring):
    sent = {"enrolment_key": spring.enrolment_key, "device_id": str(uuid4())}

    json, protobuf, grpc = enrolled_by_all(**sent)

    for reply in (json, protobuf):
        assert reply["sync_url"] == "http://testserver/api/v1/sync"
        assert reply["grpc_target"] == "testserver:50051"
    # By what name a TV knows its server, gRPC doesn't tell.
    assert (grpc["sync_url"], grpc["grpc_target"]) == ("", "")


@pytest.mark.parametrize(
    ("changed", "code", "field"),
    [
        ({"enrolment_key": None, "model": "LX"}, "invalid_request", "enrolment_key"),
        ({"enrolment_key": "x" * 129}, "invalid_request", "enrolment_key"),
        ({"enrolment_key": "nobody's"}, "enrolment_key_invalid", "enrolment_key"),
        ({"region": "nowhere at all"}, "invalid_request", "region"),
        ({"model": "x" * 65}, "invalid_request", "model"),
        ({"firmware": "a\nb"}, "invalid_request", "firmware"),
    ],
)
def test_enrolment_is_refused_alike(vega, spring, changed, code, field):
    sent = {"enrolment_key": spring.enrolment_key} | changed

    problem = enrolment_refused_by_all(**sent)

    assert (problem["code"], problem["field"]) == (code, field)


def test_batch_decides_alike(vega, spring):
    other = batches.create_batch(name="summer")
    tv_id = str(uuid4())
    enrolled_by_all(enrolment_key=spring.enrolment_key, device_id=tv_id)
    assert (
        enrolment_refused_by_all(enrolment_key=other.enrolment_key, device_id=tv_id)[
            "code"
        ]
        == "device_of_another_batch"
    )
    enrolled_by_all(enrolment_key=spring.enrolment_key, device_id=str(uuid4()))
    full = enrolment_refused_by_all(enrolment_key=spring.enrolment_key)
    assert (full["code"], full["max_devices"]) == ("batch_full", 2)
    EnrolmentBatch.objects.update(status="closed")

    closed = enrolment_refused_by_all(enrolment_key=spring.enrolment_key)

    assert (closed["code"], closed["status"]) == ("batch_closed", 403)


def test_fleet_without_room_is_told_alike(altair):
    altair.device_count = altair.max_devices
    altair.save()
    batch = batches.create_batch(name="late")

    problem = enrolment_refused_by_all(enrolment_key=batch.enrolment_key)

    assert (problem["code"], problem["region"]) == ("no_shard_available", "global")


# Operators


@pytest.fixture
def operator(vega):
    return operators.create_operator(username="olga", role=operators.Role.VIEWER)


@pytest.mark.django_db(
    transaction=True, databases=["default", "shard_000", "shard_001"]
)
def test_operators_hear_the_same_of_the_shards(vega, altair, operator, client):
    headers = {"authorization": f"Token {operator.token}"}
    altair.status, altair.pattern_count = Shard.Status.DRAINING, 17
    altair.save()

    answer = grpc_client.client().call(
        "GetClusterStatus", b"", headers["authorization"]
    )

    message = status_pb2.ClusterStatus.FromString(answer.content)
    stats = client.get("/api/v1/stats", headers=headers).json()
    shards = client.get("/api/v1/shards", headers=headers).json()
    assert (message.version, message.global_version) == (VERSION, 0)
    for said, figures, capacity in zip(message.shards, stats, shards, strict=True):
        assert figures == {name: getattr(said, name) for name in figures}
        state = status_pb2.ShardStatus.State.Name(said.state)
        assert state == f"STATE_{capacity['status'].upper()}"
        assert (said.shard_id, said.name) == (capacity["id"], capacity["name"])
        assert (said.region, said.max_devices) == (
            capacity["region"],
            capacity["max_devices"],
        )


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "not_authenticated"),
        ("Token", "not_authenticated"),
        ("Token nobody's", "not_authenticated"),
        ("Basic b2xnYTpwdw==", "not_authenticated"),
        ("Device nonsense", "token_invalid"),
        ("Device {tv}", "permission_denied"),
        ("Token {nobody}", "permission_denied"),
    ],
)
def test_strangers_hear_nothing_of_the_shards(vega_tv, client, header, code):
    nobody = User.objects.create_user("nobody")
    key = Token.objects.create(user=nobody).key
    header = header.format(tv=vega_tv.token, nobody=key)

    answer = grpc_client.client().call("GetClusterStatus", b"", header or None)

    rest = client.get("/api/v1/stats", headers={"authorization": header})
    assert answer.json()["code"] == rest.json()["code"] == code
    assert told(answer.json()) == told(rest.json())


def test_shard_that_is_unknown_is_refused_alike(vega, operator, client):
    header = f"Token {operator.token}"
    asked = status_pb2.GetClusterStatusRequest(shard_id=77).SerializeToString()

    answer = grpc_client.client().call("GetClusterStatus", asked, header)

    rest = client.get("/api/v1/stats?shard_id=77", headers={"authorization": header})
    assert answer.json()["code"] == "unknown_shard"
    assert told(answer.json()) == told(rest.json())


def refused(tv: Television, body: Any, **headers: str) -> dict[str, Any]:
    """Send what will be refused; through each other door it is refused alike."""
    response = tv.post(body, **headers)
    problem: dict[str, Any] = response.json()
    assert response["Content-Type"] == "application/problem+json", problem

    for wire in WIRES:
        other = with_wire(tv, wire, body, **headers).json()
        assert told(problem) == told(other)
    return problem


def with_wire(tv: Television, wire: str, body: Any, **headers: str) -> Any:
    spoken, tv.wire = tv.wire, wire
    try:
        return tv.post(body, **headers)
    finally:
        tv.wire = spoken


def enrolled_by_all(**document: Any) -> list[dict[str, Any]]:
    """Enrol the same TV through one door after the other."""
    json, protobuf, grpc = enrol(document)
    assert {json.status_code, protobuf.status_code, grpc.status_code} <= {200, 201}
    messages = (
        device_pb2.EnrollReply.FromString(body)
        for body in (decoded(protobuf), grpc.content)
    )
    return [json.json(), *map(enrolment_document, messages)]


def enrolment_refused_by_all(**document: Any) -> dict[str, Any]:
    problems = [answer.json() for answer in enrol(document)]
    assert told(problems[0]) == told(problems[1]) == told(problems[2])
    problem: dict[str, Any] = problems[0]
    return problem


def enrol(document: dict[str, Any]) -> list[Any]:
    message = enrolment_message(document).SerializeToString()
    http, address = Client(), "/api/v1/devices"
    return [
        http.post(address, orjson.dumps(document), content_type="application/json"),
        http.post(address, message, content_type=PROTOBUF),
        grpc_client.client().call("Enroll", message),
    ]


def enrolment_message(document: dict[str, Any]) -> device_pb2.EnrollRequest:
    sent = {name: value for name, value in document.items() if value is not None}
    if "device_id" in sent:
        sent["device_id"] = UUID(sent["device_id"]).bytes
    return device_pb2.EnrollRequest(**sent)


def enrolment_document(message: device_pb2.EnrollReply) -> dict[str, Any]:
    document = {
        field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields
    }
    expires_at = message.token_expires_at.ToDatetime(tzinfo=UTC)
    return document | {
        "device_id": str(UUID(bytes=message.device_id)),
        "token_expires_at": expires_at.isoformat(),
    }


def told(document: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in document.items() if k not in _NOT_COMPARED}

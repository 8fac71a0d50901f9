"""Enrolment in protobuf."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from constellation.v1 import device_pb2
from shards import services
from shards.models import Device
from tests.sync.binary import PROTOBUF, sync_message
from tests.sync.television import SYNC

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SHARD = "shard_000"
OLD = "application/x-protobuf"
SOME_ID = UUID(int=7)
ADDED = "delta.patterns_added[0]"


@pytest.fixture
def wire():
    return "protobuf"


DEVICES = "/api/v1/devices"


def enrol(client, message: device_pb2.EnrollRequest | bytes, **headers: str):
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return client.post(DEVICES, body, content_type=PROTOBUF, headers=headers)


@pytest.fixture
def enrolment_key(vega) -> str:
    return services.batches.create_batch(name="spring").enrolment_key


def test_tv_enrols_in_protobuf(client, enrolment_key):
    response = enrol(
        client,
        device_pb2.EnrollRequest(
            enrolment_key=enrolment_key,
            device_id=SOME_ID.bytes,
            region="eu",
            model="LX",
        ),
    )

    reply = device_pb2.EnrollReply.FromString(response.content)
    assert (response.status_code, response["Content-Type"]) == (201, PROTOBUF)
    assert UUID(bytes=reply.device_id) == SOME_ID
    assert reply.sync_url == "http://testserver/api/v1/sync"
    assert reply.token_expires_at.ToDatetime(UTC) > datetime.now(UTC)
    assert 300 <= reply.next_sync_seconds <= 900

    again = enrol(
        client,
        device_pb2.EnrollRequest(enrolment_key=enrolment_key, device_id=SOME_ID.bytes),
        accept="application/json",
    )

    assert again.status_code == 200
    assert again.json()["device_id"] == str(SOME_ID)
    body = sync_message({"device_id": str(SOME_ID), "delta": {"local_version": 1}})
    synced = client.post(
        SYNC,
        body.SerializeToString(),
        content_type=PROTOBUF,
        headers={"authorization": f"Device {reply.token}"},
    )
    assert synced.status_code == 200


def test_server_makes_an_id_for_a_tv_without_one(client, enrolment_key):
    response = enrol(client, device_pb2.EnrollRequest(enrolment_key=enrolment_key))

    assert len(device_pb2.EnrollReply.FromString(response.content).device_id) == 16


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"enrolment_key": None}, "enrolment_key"),
        ({"enrolment_key": ""}, "enrolment_key"),
        ({"enrolment_key": "x" * 129}, "enrolment_key"),
        ({"device_id": b""}, "device_id"),
        ({"device_id": bytes(17)}, "device_id"),
        ({"region": "Middle Earth"}, "region"),
        ({"model": "x" * 65}, "model"),
        ({"firmware": "a\nb"}, "firmware"),
    ],
)
def test_enrolment_is_refused(client, enrolment_key, parts, field):
    message = device_pb2.EnrollRequest(
        **{"enrolment_key": enrolment_key, "model": "LX"} | parts
    )

    response = enrol(client, message)

    assert response.status_code == 422
    assert response.json()["field"] == field


@pytest.mark.parametrize(("sent", "kept"), [("EU", "eu"), ("", "global")])
def test_region_is_kept_as_json_keeps_it(client, enrolment_key, sent, kept):
    message = device_pb2.EnrollRequest(
        enrolment_key=enrolment_key, device_id=SOME_ID.bytes, region=sent
    )

    assert enrol(client, message).status_code == 201

    assert Device.objects.using(SHARD).get(id=SOME_ID).region == kept


def test_wrong_key_is_refused(client, vega):
    response = enrol(client, device_pb2.EnrollRequest(enrolment_key="not a key"))

    assert response.status_code == 403
    assert response.json()["code"] == "enrolment_key_invalid"


def test_enrolment_that_is_no_message_is_malformed(client):
    assert enrol(client, b"\x0a\xff").json()["code"] == "malformed_body"

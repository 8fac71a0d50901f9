"""What only bytes can get wrong: hostile ones, bombs, and fields that may not be."""

from __future__ import annotations

import random
import subprocess
import sys
from uuid import UUID

import numpy as np
import pytest
import zstandard
from django.conf import settings

from constellation.v1 import sync_pb2
from tests.sync.binary import PROTOBUF, sync_message
from tests.sync.directions import vector
from tests.sync.television import SYNC, addition

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SHARD = "shard_000"
OLD = "application/x-protobuf"
SOME_ID = UUID(int=7)
ADDED = "delta.patterns_added[0]"


@pytest.fixture
def wire():
    return "protobuf"


def truncated() -> bytes:
    return sync_message(
        {"delta": {"patterns_added": [addition()]}}
    ).SerializeToString()[:-9]


def nested(depth: int) -> bytes:
    """Groups within groups, in a field that nobody knows."""
    return b"\x9b\x06" * depth + b"\x9c\x06" * depth


def with_text(text: bytes) -> bytes:
    """A delta with an addition whose only genre is these bytes."""
    body = b"\x22" + bytes([len(text)]) + text
    for tag in (b"\x42", b"\x0a", b"\x12"):  # context, patterns_added, delta
        body = tag + bytes([len(body)]) + body
    return body


HOSTILE = {
    "JSON": b'{"device_id": ""}',
    "truncated": truncated(),
    "text": b"hello",
    "nested groups": nested(60_000),
    "groups that don't end": b"\x9b\x06" * 100_000,
    "a varint that never ends": b"\x20" + b"\xff" * 100,
    "field zero": b"\x02\x00",
    "a wire type that isn't": b"\x0f",
    "a length beyond the end": b"\x12\xff\xff\xff\x7f",
    "a length beyond 64 bits": b"\x12" + b"\xff" * 9 + b"\x7f",
    "bad UTF-8": with_text(b"\xff\xfe"),
    "overlong UTF-8": with_text(b"\xc0\x80"),
    "a surrogate in UTF-8": with_text(b"\xed\xa0\x80"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_malformed(vega_tv, name):
    response = vega_tv.post(HOSTILE[name])

    assert response.status_code == 400, response.content
    assert response.json()["code"] == "malformed_body"


def test_the_same_bytes_with_good_text_are_no_malformed_body(vega_tv):
    assert vega_tv.post(with_text(b"noir")).json()["field"] == "device_id"


def test_empty_body_is_a_request_without_anything(vega_tv):
    response = vega_tv.client.generic(
        "POST",
        SYNC,
        headers={"authorization": vega_tv.authorization},
        CONTENT_TYPE=PROTOBUF,
        CONTENT_LENGTH="0",
    )

    assert response.json()["field"] == "device_id"


def test_random_bytes_are_never_a_server_error(vega_tv):
    rng = random.Random(17)
    good = sync_message(vega_tv.body(added=[addition()])).SerializeToString()
    for _ in range(150):
        body = bytearray(good if rng.random() < 0.7 else rng.randbytes(200))
        for _ in range(rng.randrange(1, 6)):
            body[rng.randrange(min(len(body), 60))] = rng.randrange(256)

        response = vega_tv.post(bytes(body[: rng.randrange(1, len(body) + 1)]))

        assert response.status_code in (200, 400, 403, 422), response.content


def lengthy(tag: bytes, body: bytes) -> bytes:
    size, number = b"", len(body)
    while number > 127:
        size, number = size + bytes([number & 127 | 128]), number >> 7
    return tag + size + bytes([number]) + body


def packed(columns: bytes) -> bytes:
    return lengthy(b"\x12", b"\x20\x01" + lengthy(b"\x32", columns))


MIB = 1024 * 1024 - 64

#: A megabyte of what takes most memory, and what is said to it.
BOMBS = {
    "empty additions": (
        lengthy(b"\x12", b"\x0a\x00" * (MIB // 2)),
        "too_many_patterns",
    ),
    "empty removals": (lengthy(b"\x12", b"\x1a\x00" * (MIB // 2)), "too_many_patterns"),
    "many deltas": (b"\x12\x02\x0a\x00" * (MIB // 4), "too_many_patterns"),
    "many empty deltas": (b"\x12\x00" * (MIB // 2), "malformed_body"),
    "unknown fields": (b"\x98\x06\x01" * (MIB // 3), "malformed_body"),
    "preferences, one by one": (b"\x28\x03" * (MIB // 2), "malformed_body"),
    "preferences, packed": (lengthy(b"\x2a", b"\x03" * MIB), "invalid_request"),
    "genres": (
        lengthy(b"\x12", lengthy(b"\x0a", lengthy(b"\x42", b"\x22\x00" * (MIB // 2)))),
        "invalid_request",
    ),
    "empty packed deltas": (
        lengthy(b"\x12", b"\x32\x00" * (MIB // 2)),
        "malformed_body",
    ),
    "packed names": (packed(b"\x72\x00" * (MIB // 2)), "invalid_request"),
    "packed rates": (packed(lengthy(b"\x1a", b"\x01" * MIB)), "invalid_request"),
    "packed rates, one by one": (packed(b"\x18\x01" * (MIB // 2)), "invalid_request"),
    "packed references": (
        packed(lengthy(b"\x4a", lengthy(b"\x12", b"\x01" * (MIB - 32)))),
        "invalid_request",
    ),
    "packed ids": (packed(lengthy(b"\x0a", bytes(MIB - 32))), "too_many_patterns"),
    "packed codes": (
        packed(lengthy(b"\x12", lengthy(b"\x22", bytes(MIB - 32)))),
        "invalid_request",
    ),
    "one embedding": (
        lengthy(b"\x12", lengthy(b"\x0a", lengthy(b"\x12", bytes(MIB - 64)))),
        "invalid_request",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_within_the_limits(vega_tv, name):
    body, code = BOMBS[name]
    assert len(body) <= settings.INFLATED_LIMIT_BYTES
    device_id = sync_pb2.SyncRequest(device_id=vega_tv.device_id.bytes)
    body = device_id.SerializeToString() + body
    packed = zstandard.ZstdCompressor().compress(body)

    response = vega_tv.post(packed, content_encoding="zstd")

    assert response.status_code in (400, 422), response.content
    assert response.json()["code"] == code


MEASURE = """
import resource
import django

django.setup()

from shards.exceptions import ConstellationError
from sync import protobuf_wire
from tests.sync.publishing import never_asked
from tests.sync.test_protobuf_bodies import BOMBS

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for body, _ in BOMBS.values():
    try:
        protobuf_wire.read_sync(body, never_asked)
    except ConstellationError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bombs_stay_small_in_memory():
    """Measured in a process of their own, for protobuf's memory is not Python's."""
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE],
        check=True,
        capture_output=True,
        text=True,
        cwd=settings.BASE_DIR,
    )

    assert int(measured.stdout) < 32 * 1024  # KiB


def spoilt(value: float) -> np.ndarray:
    numbers = np.full(384, 0.05)
    numbers[17] = value
    return numbers


@pytest.mark.parametrize(
    ("parts", "field", "accepted"),
    [
        ({"id": b"short"}, "id", "a UUID, as 16 bytes"),
        ({"id": bytes(17)}, "id", "a UUID, as 16 bytes"),
        ({"id": b""}, "id", "a UUID, as 16 bytes"),
        ({"embedding": {"float32": bytes(1535)}}, "embedding", "1536 bytes of float32"),
        ({"embedding": {"float16": bytes(1536)}}, "embedding", "768 bytes of float16"),
        ({"embedding": {"int8": b""}}, "embedding", "384 bytes of int8"),
        ({"embedding": {"int8": bytes(385)}}, "embedding", "384 bytes of int8"),
        ({"embedding": {"int8": bytes(384)}}, "embedding", "a length from 0.001"),
        ({"embedding": {"float16": bytes(768)}}, "embedding", "a length from 0.001"),
        ({"embedding": vector("float32", spoilt(np.nan))}, "embedding[17]", "finite"),
        ({"embedding": vector("float32", spoilt(-np.inf))}, "embedding[17]", "finite"),
        ({"embedding": vector("float16", spoilt(np.inf))}, "embedding[17]", "finite"),
        (
            {"embedding": {"float32": b"\x01\x00\xa0\x7f" * 384}},
            "embedding[0]",
            "finite",
        ),
        ({"embedding": vector("float32", [3e38] * 384)}, "embedding", "0.001 to 1000"),
        ({"embedding": {"codes": bytes(33)}}, "embedding", "codes of 8, 16, 24, 32"),
        ({"embedding": None}, "embedding", "float32, float16, int8"),
        ({"success_rate": float("nan")}, "success_rate", "from 0 to 1"),
        ({"success_rate": float("inf")}, "success_rate", "from 0 to 1"),
        ({"sample_count": 2**64 - 1}, "sample_count", "from 1 to 2147483647"),
        ({"created_at": -(2**63)}, "created_at", "from 0 to 253402300799"),
        (
            {"context": {"time_of_day": 7}},
            "context.time_of_day",
            "early_morning, morning",
        ),
        ({"context": {"time_of_day": -1}}, "context.time_of_day", "early_morning"),
        ({"context": {"day_of_week": 10}}, "context.day_of_week", "monday, tuesday"),
        ({"context": {"content_type": 2**31 - 1}}, "context.content_type", "movie"),
    ],
)
def test_addition_is_refused(vega_tv, parts, field, accepted):
    response = vega_tv.post(vega_tv.body(added=[addition(SOME_ID) | parts]))

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_request")
    assert problem["field"] == f"{ADDED}.{field}"
    assert accepted in problem["accepted"]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (sync_pb2.SyncRequest(device_id=bytes(15)), "device_id"),
        (sync_pb2.SyncRequest(embedding_encodings=[5]), "embedding_encodings[0]"),  # type: ignore[list-item]
        (sync_pb2.SyncRequest(detail=3), "detail"),  # type: ignore[arg-type]
    ],
)
def test_envelope_is_refused(vega_tv, message, field):
    whole = sync_message(vega_tv.body())
    whole.MergeFrom(message)

    response = vega_tv.post(whole.SerializeToString())

    assert response.status_code == 422
    assert response.json()["field"] == field


def test_removal_is_an_id(vega_tv):
    message = sync_message(vega_tv.body(removed=[SOME_ID]))
    message.delta.patterns_removed.append(b"15 bytes long..")

    problem = vega_tv.post(message.SerializeToString()).json()

    assert problem["field"] == "delta.patterns_removed[1]"
    assert problem["accepted"] == "a UUID, as 16 bytes"

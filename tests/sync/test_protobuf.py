"""The binary door: negotiation, what only bytes can get wrong, and how small it is."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import orjson
import pytest
import zstandard
from django.conf import settings

from constellation.v1 import device_pb2, sync_pb2
from patterns.vectors import as_array
from shards import services
from shards.models import Device
from sync.embeddings import EmbeddingEncoding
from sync.protobuf import news
from tests.sync.binary import PROTOBUF, sync_message, vectors
from tests.sync.publishing import publish
from tests.sync.television import SYNC, addition, decoded, update

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SHARD = "shard_000"
OLD = "application/x-protobuf"
SOME_ID = UUID(int=7)
ADDED = "delta.patterns_added[0]"


@pytest.fixture
def wire():
    return "protobuf"


def directions(count: int, *, seed: int = 0) -> Any:
    rows = np.random.default_rng(seed).normal(size=(count, 384))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def realistic(count: int, *, seed: int = 0) -> Any:
    """Unit vectors as sentence models make them, with a few large numbers."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 384)) * np.exp(0.3 * rng.normal(size=384))
    rows[:, rng.choice(384, 3, replace=False)] *= 2
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# Formats


@pytest.mark.parametrize(
    ("content_type", "accept", "answer"),
    [
        ("application/json", "application/json", "application/json"),
        ("application/json", PROTOBUF, PROTOBUF),
        ("application/json", OLD, PROTOBUF),
        (PROTOBUF, "application/json", "application/json"),
        (PROTOBUF, PROTOBUF, PROTOBUF),
        (OLD, OLD, PROTOBUF),
        # Who has no wish hears what it speaks.
        (PROTOBUF, "*/*", PROTOBUF),
        (PROTOBUF, "", PROTOBUF),
        ("Application/Protobuf; v=1", "application/*", PROTOBUF),
        (OLD, "*/*", PROTOBUF),
        ("application/json", "*/*", "application/json"),
        (
            PROTOBUF,
            "application/json;q=0.9, application/protobuf;q=0.2",
            "application/json",
        ),
        ("application/json", "application/json;q=0, */*", PROTOBUF),
    ],
)
def test_formats_are_negotiated_apart(vega_tv, content_type, accept, answer):
    document = vega_tv.body(added=[addition(SOME_ID)])
    is_json = content_type == "application/json"
    body = (
        orjson.dumps(document)
        if is_json
        else sync_message(document).SerializeToString()
    )

    response = vega_tv.post(body, content_type=content_type, accept=accept)

    assert response.status_code == 200, response.content
    assert response["Content-Type"] == answer
    assert "Accept" in response["Vary"]
    assert response.json()["accepted"]["stored"] == 1
    assert set(vega_tv.stored()) == {SOME_ID}


def test_errors_are_problems_whatever_accept_says(vega_tv):
    response = vega_tv.post(b"\xff", accept=PROTOBUF)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_options_are_told_in_json(vega_tv):
    response = vega_tv.client.options(
        SYNC,
        headers={"authorization": vega_tv.authorization, "accept": "application/json"},
    )

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert PROTOBUF in response.json()["parses"]


def test_other_addresses_speak_json_only(vega_tv):
    response = vega_tv.client.get("/api/v1/info", headers={"accept": PROTOBUF})

    assert response.status_code == 406
    assert "application/json" in response.json()["detail"]
    assert "protobuf" not in response.json()["detail"]


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("zstd", zstandard.ZstdCompressor().compress),
        ("gzip", gzip.compress),
        ("identity", bytes),
    ],
)
def test_bodies_are_encoded_both_ways(vega_tv, encoding, encode):
    publish(SHARD, version=1, centroids=directions(30))
    body = sync_message(vega_tv.body(added=[addition()])).SerializeToString()

    response = vega_tv.post(
        encode(body), content_encoding=encoding, accept_encoding=encoding
    )

    assert response.get("Content-Encoding", "identity") == encoding
    assert len(response.json()["global"]["similar"]) == 30


# The same content


def test_delta_is_the_same_content_in_both_formats(vega_tv):
    """A TV may be updated between a delta and its retry."""
    known = uuid4()
    vega_tv.sync(added=[addition(known, success_rate=0.7)])
    assert set(vega_tv.stored()) == {known}, "0.7 is not below 0.7"
    body = vega_tv.body(
        added=[addition(SOME_ID, success_rate=0.8301), addition(embedding=[0.1] * 384)],
        updated=[update(known, rate=0.9)],
        removed=[uuid4()],
    )
    first = vega_tv.post(body).json()

    vega_tv.wire = "json"
    second = vega_tv.post(body)

    assert second.status_code == 200, second.content
    assert second.json()["accepted"] == first["accepted"]


def test_both_formats_tell_the_same_news(vega_tv):
    publish(
        SHARD,
        version=3,
        centroids=directions(120),
        masses=[float(i) for i in range(120)],
        trends={"global": ["tt1", "genre:saga", "tt1001"]},
        links={"tt0133093": ["tt9", "tt1"], "tt1": ["tt5"]},
    )
    body = vega_tv.body(added=[addition(context={"content_ids": ["tt1", "tt0133093"]})])
    binary = vega_tv.post(body).json()["global"]

    plain = vega_tv.post(body, accept="application/json").json()["global"]

    for ours, theirs in zip(binary["similar"], plain["similar"], strict=True):
        assert ours.pop("embedding") == pytest.approx(theirs.pop("embedding"), abs=1e-7)
    assert binary == plain


# Bytes that are no request


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
from tests.sync.test_protobuf import BOMBS

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


# What a well-formed message may not say


def vector(encoding: str, numbers: list[float] | np.ndarray) -> dict[str, bytes]:
    dtype = {"float32": "<f4", "float16": "<f2", "int8": "i1"}[encoding]
    return {encoding: np.array(numbers).astype(dtype).tobytes()}


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


# Embeddings


def quantised(row: np.ndarray) -> Any:
    return np.rint(row * (127 / np.abs(row).max()))


#: The error that docs/tv.md states, as the least cosine.
LEAST_COSINE = {"float32": 1 - 1e-12, "float16": 1 - 5e-7, "int8": 0.9995}


@pytest.mark.parametrize("kind", [directions, realistic])
@pytest.mark.parametrize("encoding", LEAST_COSINE)
def test_error_of_an_encoding_is_what_is_documented(encoding, kind):
    sent = kind(4000, seed=11).astype(np.float32)

    received = read_back(sent, encoding)

    assert cosines(sent, received).min() >= LEAST_COSINE[encoding]


def test_int8_keeps_its_bound_whatever_the_vector():
    """A few numbers that dominate are the worst case: the others lose their digits."""
    rows = np.concatenate(
        [directions(500, seed=s) ** p for s, p in enumerate((3, 9, 25))]
    )
    sent = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    lost = 1 - cosines(sent, read_back(sent, "int8"))

    largest = np.abs(sent).max(axis=1)
    assert largest.max() > 0.9
    assert (lost <= 0.003 * largest**2).all()


def read_back(sent: np.ndarray, encoding: str) -> np.ndarray:
    block = news.embedding_block(sent, EmbeddingEncoding[encoding.upper()])
    return vectors(block)


def cosines(left: np.ndarray, right: np.ndarray) -> Any:
    wide = [rows.astype(np.float64) for rows in (left, right)]
    left, right = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in wide)
    return (left * right).sum(axis=1)


@pytest.mark.parametrize("encoding", LEAST_COSINE)
def test_pattern_may_be_sent_in_any_encoding(vega_tv, encoding):
    (row,) = realistic(1, seed=3)
    sent = vector(encoding, quantised(row) if encoding == "int8" else row)

    vega_tv.sync(added=[addition(SOME_ID, embedding=sent)])

    stored = as_array(vega_tv.stored()[SOME_ID].embedding)
    assert np.linalg.norm(stored) == pytest.approx(1, abs=1e-3)
    assert stored @ row / np.linalg.norm(stored) >= min(
        LEAST_COSINE[encoding], 1 - 1e-6
    )


def test_encodings_may_be_mixed_in_one_delta(vega_tv):
    rows = realistic(3, seed=5)
    ids = [UUID(int=i) for i in range(3)]
    sent = [
        vector("int8", quantised(rows[0])),
        vector("float16", rows[1]),
        vector("float32", rows[2]),
    ]

    vega_tv.sync(
        added=[addition(i, embedding=e) for i, e in zip(ids, sent, strict=True)]
    )

    stored = vega_tv.stored()
    alike = [as_array(stored[i].embedding) @ rows[i.int] for i in ids]
    assert alike == pytest.approx([1, 1, 1], abs=1e-3)


@pytest.mark.parametrize(
    ("wish", "got"),
    [
        ([], "int8"),
        (["unspecified"], "int8"),
        (["float32"], "float32"),
        (["float16", "int8"], "float16"),
        # There is no codebook yet; the next best will do.
        (["codes", "float16"], "float16"),
    ],
)
def test_reply_is_in_the_encoding_liked_best(vega_tv, wish, got):
    publish(SHARD, version=1, centroids=directions(5))

    response = vega_tv.post(vega_tv.body(embedding_encodings=wish))

    reply = sync_pb2.SyncReply.FromString(response.content)
    block = reply.global_news.similar.embeddings
    assert block.WhichOneof("encoding") == got
    size = {"float32": 1536, "float16": 768, "int8": 384}[got]
    assert len(getattr(block, got)) == 5 * size


def test_wishes_of_a_json_request_count_for_a_binary_reply(vega_tv):
    publish(SHARD, version=1, centroids=directions(5))
    vega_tv.wire = "json"
    body = vega_tv.body(embedding_encodings=["float16"], detail="compact")

    similar = reply_to(vega_tv, body).global_news.similar

    assert similar.embeddings.WhichOneof("encoding") == "float16"
    assert not similar.sample_counts


def reply_to(tv, body) -> sync_pb2.SyncReply:
    response = tv.post(body, accept=PROTOBUF)
    assert response.status_code == 200, response.content
    return sync_pb2.SyncReply.FromString(response.content)


# Columns


def test_masses_are_told_to_the_documented_precision(vega_tv):
    masses = [0.0, 0.4, 1.0, 55.5, 1e4, 4e8]
    publish(SHARD, version=1, centroids=directions(6), masses=masses)

    similar = reply_to(vega_tv, vega_tv.body()).global_news.similar

    read = sorted(2 ** (code / 8) - 1 for code in similar.masses)
    for told, exact in zip(read, masses, strict=True):
        assert (1 + told) / (1 + exact) == pytest.approx(1, abs=0.045)


def test_compact_reply_has_no_contexts(vega_tv):
    publish(SHARD, version=1, centroids=directions(6))

    similar = reply_to(vega_tv, vega_tv.body(detail="compact")).global_news.similar

    told = {field.name for field, _ in similar.ListFields()}
    assert told == {"id_deltas", "embeddings", "success_rates", "masses"}


def test_up_to_date_tv_gets_few_bytes(vega_tv):
    publish(SHARD, version=18, centroids=directions(3))

    response = vega_tv.post(vega_tv.body(added=[addition()], global_version=18))

    assert response.json()["global"] == {"global_version": 18}
    assert len(response.content) <= 32


def test_sizes_are_those_of_the_documents(vega_tv):
    """docs/tv.md states them; what it says of real data is a benchmark's business."""
    publish(
        SHARD,
        version=2,
        centroids=directions(400),
        trends={"global": [f"tt{i}" for i in range(2000, 2050)]},
    )
    rows = realistic(10, seed=1)
    up = sync_message(
        vega_tv.body(
            added=[addition(embedding=vector("int8", quantised(r))) for r in rows],
            updated=[update(uuid4()) for _ in range(5)],
            removed=[uuid4() for _ in range(5)],
        )
    ).SerializeToString()

    down = vega_tv.post(up, accept_encoding="zstd", accept=PROTOBUF)

    assert len(up) < 5_000
    assert len(decoded(down)) < 45_000
    assert len(down.content) <= len(decoded(down))
    assert len(down.json()["global"]["similar"]) == 100


# Enrolment


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

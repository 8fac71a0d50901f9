"""The binary door: negotiation, columns, and how small it is."""

from __future__ import annotations

import gzip
from uuid import UUID, uuid4

import orjson
import pytest
import zstandard

from tests.sync.binary import PROTOBUF, reply_to, sync_message
from tests.sync.directions import directions, quantised, realistic, vector
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

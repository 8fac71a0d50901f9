"""Pull: what everyone learned, for a TV that has nothing to tell."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from constellation.v1 import embedding_pb2, sync_pb2
from shards import statistics
from shards.models import Device
from tests.sync import grpc_client
from tests.sync.binary import UNKNOWN, sync_document, sync_message
from tests.sync.grpc_client import Answer
from tests.sync.publishing import publish
from tests.sync.television import Television, addition

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SHARD = "shard_000"


@pytest.fixture
def wire():
    return "grpc"


@pytest.fixture
def published() -> None:
    publish(
        SHARD,
        version=18,
        centroids=np.random.default_rng(0).normal(size=(120, 384)),
        trends={"global": ["tt1", "genre:saga"]},
        links={"tt0133093": ["tt9", "tt1"]},
    )


def pull(tv: Television, authorization: str | None = None, **parts: Any) -> Answer:
    message = sync_pb2.PullRequest(**{"device_id": tv.device_id.bytes} | parts)
    return send(tv, message.SerializeToString(), authorization)


def send(tv: Television, body: bytes, authorization: str | None = None) -> Answer:
    header = tv.authorization if authorization is None else authorization
    return grpc_client.client().call("Pull", body, header or None)


def reply_to(answer: Answer) -> sync_pb2.PullReply:
    assert answer.grpc_status is grpc.StatusCode.OK, answer.content
    return sync_pb2.PullReply.FromString(answer.content)


def test_pull_tells_what_a_sync_tells(vega_tv, published):
    body = vega_tv.body(added=[addition()])
    sent = sync_message(body).SerializeToString()
    synced = grpc_client.client().call("Sync", sent, vega_tv.authorization)

    pulled = reply_to(pull(vega_tv))

    assert (
        pulled.global_news == sync_pb2.SyncReply.FromString(synced.content).global_news
    )
    assert len(pulled.global_news.similar.id_deltas) == 100
    assert pulled.global_news.links.references
    assert pulled.local_version == 1
    assert 300 <= pulled.next_sync_seconds <= 900


def test_pull_writes_nothing(vega_tv, published):
    vega_tv.sync(added=[addition()])
    before = Device.objects.using(SHARD).values().get(pk=vega_tv.device_id)
    counts = statistics.read(shard_alias=SHARD, now=timezone.now())
    with CaptureQueriesContext(connections[SHARD]) as captured:
        pull(vega_tv)

    assert {query["sql"].split()[0] for query in captured} == {"SELECT"}
    assert Device.objects.using(SHARD).values().get(pk=vega_tv.device_id) == before
    after = statistics.read(shard_alias=SHARD, now=timezone.now())
    assert after.total_devices == counts.total_devices
    assert after.patterns_stored == counts.patterns_stored


def test_tv_that_holds_the_publication_is_told_so(vega_tv, published):
    pulled = reply_to(pull(vega_tv, global_version=18))

    assert pulled.global_news == sync_pb2.GlobalNews(global_version=18)


def test_wishes_are_those_of_a_sync(vega_tv, published):
    float16 = embedding_pb2.EMBEDDING_ENCODING_FLOAT16
    pulled = reply_to(
        pull(
            vega_tv,
            embedding_encodings=[float16],
            detail=sync_pb2.REPLY_DETAIL_COMPACT,
        )
    )

    similar = pulled.global_news.similar
    assert similar.embeddings.WhichOneof("encoding") == "float16"
    assert not similar.sample_counts


def test_unknown_fields_are_ignored(vega_tv, published):
    known = sync_pb2.PullRequest(device_id=vega_tv.device_id.bytes)

    assert reply_to(send(vega_tv, known.SerializeToString() + UNKNOWN)).global_news


@pytest.mark.parametrize(
    ("parts", "code", "field"),
    [
        ({"device_id": None}, "invalid_request", "device_id"),
        ({"device_id": b"short"}, "invalid_request", "device_id"),
        ({"device_id": bytes(16)}, "token_of_another_device", "device_id"),
        ({"global_version": 2**63}, "invalid_request", "global_version"),
        ({"embedding_encodings": [3] * 9}, "invalid_request", "embedding_encodings"),
        ({"detail": 77}, "invalid_request", "detail"),
    ],
)
def test_what_is_not_acceptable_is_refused(vega_tv, parts, code, field):
    problem = pull(vega_tv, **parts).problem

    assert (problem["code"], problem["field"]) == (code, field)


def test_bytes_that_are_no_message_are_malformed(vega_tv):
    answer = send(vega_tv, b"\x0f")

    assert answer.problem["code"] == "malformed_body"
    assert answer.grpc_status is grpc.StatusCode.INVALID_ARGUMENT


def test_token_comes_before_the_message(vega_tv):
    answer = send(vega_tv, b"\x0f", "Device nonsense")

    assert answer.problem["code"] == "token_invalid"
    assert answer.grpc_status is grpc.StatusCode.UNAUTHENTICATED


def test_tv_that_was_forgotten_is_unknown(vega_tv):
    Device.objects.using(SHARD).all().delete()

    assert pull(vega_tv).problem["code"] == "device_unknown"


def test_tv_that_was_revoked_hears_nothing(vega_tv):
    Device.objects.using(SHARD).update(revoked_at=timezone.now())

    assert pull(vega_tv).problem["code"] == "device_revoked"


def test_token_of_an_older_epoch_is_refused(vega_tv):
    Device.objects.using(SHARD).update(token_epoch=1)

    assert pull(vega_tv).problem["code"] == "token_invalid"


def test_shard_served_elsewhere_is_misdirected(vega_tv, settings):
    settings.SHARD_IDS = frozenset({1})

    assert pull(vega_tv).problem["code"] == "shard_not_served"


def test_binary_sync_and_pull_read_alike(vega_tv, published):
    """The news of both are the same columns, so one decoder is enough."""
    pulled = reply_to(pull(vega_tv))
    as_sync = sync_pb2.SyncReply(global_news=pulled.global_news)
    asked_in_float32 = vega_tv.sync()

    similar = sync_document(as_sync.SerializeToString())["global"]["similar"]
    other = asked_in_float32["global"]["similar"]
    assert [each["id"] for each in similar] == [each["id"] for each in other]

"""Embeddings as bytes, both ways, and what each encoding loses."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pytest

from constellation.v1 import sync_pb2
from patterns.vectors import as_array
from sync.embeddings import EmbeddingEncoding
from sync.protobuf import news
from tests.sync.binary import reply_to, vectors
from tests.sync.directions import directions, quantised, realistic, vector
from tests.sync.publishing import a_codebook, publish
from tests.sync.television import addition

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SHARD = "shard_000"
OLD = "application/x-protobuf"
SOME_ID = UUID(int=7)
ADDED = "delta.patterns_added[0]"


@pytest.fixture
def wire():
    return "protobuf"


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
        # The TV has no codebook; the next best will do.
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


# Codes


def coded_reply(tv, **parts: Any) -> sync_pb2.SyncReply:
    return reply_to(tv, tv.body(embedding_encodings=["codes", "float16"], **parts))


def test_reply_is_in_codes_of_the_codebook_that_the_tv_has(vega_tv):
    publish(SHARD, version=1, centroids=directions(5), codebooks=[3, 4])

    news = coded_reply(vega_tv, codebook_version=3).global_news

    block = news.similar.embeddings
    assert (block.WhichOneof("encoding"), block.codebook_version) == ("codes", 3)
    rows = np.frombuffer(block.codes, dtype=np.uint8).reshape(5, -1)
    read = a_codebook(3).decode(rows)
    assert np.linalg.norm(read, axis=1) == pytest.approx([1] * 5, abs=1e-5)
    assert news.codebook_version == 4


@pytest.mark.parametrize("version", [0, 2, 5])
def test_tv_without_a_known_codebook_gets_its_next_preference(vega_tv, version):
    publish(SHARD, version=1, centroids=directions(5), codebooks=[3, 4])

    reply = coded_reply(vega_tv, codebook_version=version)

    block = reply.global_news.similar.embeddings
    assert (block.WhichOneof("encoding"), block.codebook_version) == ("float16", 0)


def test_tv_that_reads_nothing_but_codes_needs_a_known_codebook(vega_tv):
    publish(SHARD, version=1, centroids=directions(5), codebooks=[3, 4])
    body = vega_tv.body(embedding_encodings=["codes"], codebook_version=2)

    problem = vega_tv.post(body).json()

    assert problem["field"] == "embedding_encodings"
    assert "float32, float16, int8, or codes" in problem["accepted"]


def test_codebook_of_a_json_request_counts_for_a_binary_reply(vega_tv):
    publish(SHARD, version=1, centroids=directions(5), codebooks=[3])
    vega_tv.wire = "json"

    reply = coded_reply(vega_tv, codebook_version=3)

    assert reply.global_news.similar.embeddings.codebook_version == 3


@pytest.mark.parametrize("version", [-1, 2**32, "3"])
def test_codebook_version_of_json_is_checked(vega_tv, version):
    vega_tv.wire = "json"

    response = vega_tv.post(vega_tv.body(codebook_version=version))

    assert response.status_code == 422
    assert response.json()["field"] == "codebook_version"


def test_current_codebook_is_told_without_news_too(vega_tv):
    publish(SHARD, version=18, centroids=directions(5), codebooks=[300])

    response = vega_tv.post(vega_tv.body(added=[addition()], global_version=18))

    reply = sync_pb2.SyncReply.FromString(response.content)
    assert reply.global_news == sync_pb2.GlobalNews(
        global_version=18, codebook_version=300
    )
    assert len(response.content) <= 32

"""Whatever a delta or a reply holds, JSON and protobuf say the same of it."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.publication import PublishedPattern
from patterns.context import ContentType, DayOfWeek, TimeOfDay
from patterns.delta import Accepted
from sync import json_wire, protobuf_wire
from sync.embeddings import EmbeddingEncoding
from sync.fields import codes_by_name
from sync.messages import GlobalNews, Links, SyncReply, Trending, Wishes
from tests.sync.binary import sync_document, sync_message
from tests.sync.publishing import never_asked
from tests.sync.television import embedding

ids = st.uuids().map(str)
counts = st.integers(1, 2**31 - 1)
versions = st.integers(0, 2**63 - 1)
#: As many digits as a float32 keeps.
rates = st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)
letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


def names(length: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.text(letters, min_size=1, max_size=length), max_size=8)


def word(choices: Any) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(list(codes_by_name(choices)))


contexts = st.fixed_dictionaries(
    {},
    optional={
        "time_of_day": word(TimeOfDay).filter(bool),
        "day_of_week": word(DayOfWeek).filter(bool),
        "content_type": word(ContentType).filter(bool),
        "genre_hints": names(32),
        "content_ids": names(64),
    },
)
additions = st.fixed_dictionaries(
    {
        "id": ids,
        "embedding": st.integers(0, 99).map(embedding),
        "success_rate": rates,
        "sample_count": counts,
        "context": contexts,
    },
    optional={"created_at": st.integers(0, 253402300799)},
)
updates = st.fixed_dictionaries(
    {"id": ids, "new_success_rate": rates, "additional_samples": counts}
)


def _id(document: dict[str, Any]) -> Any:
    return document["id"]


requests = st.fixed_dictionaries(
    {
        "device_id": ids,
        "delta": st.fixed_dictionaries(
            {
                "patterns_added": st.lists(additions, max_size=3, unique_by=_id),
                "patterns_updated": st.lists(updates, max_size=3, unique_by=_id),
                "patterns_removed": st.lists(ids, max_size=3, unique=True),
                "local_version": versions,
            }
        ),
    },
    optional={
        "base_version": versions,
        "global_version": versions,
        "embedding_encodings": st.lists(
            st.sampled_from(["float32", "float16", "int8"]), max_size=8
        ),
        "detail": st.sampled_from(["full", "compact"]),
    },
)


@given(requests)
def test_request_is_understood_the_same(document):
    plain = json_wire.read_sync(orjson.loads(orjson.dumps(document)), never_asked)

    sent = sync_message(document).SerializeToString()
    binary = protobuf_wire.read_sync(sent, never_asked)

    assert binary.device_id == plain.device_id
    assert binary.global_version == plain.global_version
    assert binary.wishes == plain.wishes
    assert binary.delta.digest == plain.delta.digest
    assert binary.delta.local_version == plain.delta.local_version
    assert binary.delta.base_version == plain.delta.base_version


published = st.builds(
    lambda cell, seed, rate, count, words, genres, contents: {
        "id": cell,
        "embedding": np.array(embedding(seed), dtype=np.float32),
        "success_rate": rate / 100,
        "sample_count": count,
        "context": {k: v for k, v in words.items() if v} | {"genre_hints": genres},
        "content_ids": contents,
    },
    st.integers(0, 2**31 - 1),
    st.integers(0, 99),
    st.integers(0, 100),
    st.integers(1, 2**63 - 1),
    st.fixed_dictionaries(
        {
            "time_of_day": word(TimeOfDay),
            "day_of_week": word(DayOfWeek),
            "content_type": word(ContentType),
        }
    ),
    names(32),
    names(64),
)
hundredths = st.integers(0, 100).map(lambda n: n / 100)
trends = st.builds(
    Trending,
    item=st.text(letters, min_size=1, max_size=80),
    score=st.integers(0, 10**4).map(lambda n: n / 10**4),
    region=st.sampled_from(["eu", "global"]),
)
links = st.builds(
    Links,
    content_id=st.text(letters, min_size=1, max_size=64),
    related=st.lists(
        st.tuples(st.text(letters, min_size=1, max_size=64), hundredths), max_size=10
    ),
)
news = st.builds(
    lambda similar, trending, linked: GlobalNews(
        similar=cast("list[PublishedPattern]", similar),
        masses=[1.0] * len(similar),
        trending=trending,
        links=linked,
    ),
    st.lists(published, max_size=5),
    st.lists(trends, max_size=5),
    st.lists(links, max_size=5),
)
replies = st.builds(
    SyncReply,
    global_version=versions,
    news=st.none() | news,
    accepted=st.builds(
        Accepted,
        stored=st.integers(0, 64),
        filtered=st.integers(0, 64),
        updated=st.integers(0, 64),
        removed=st.integers(0, 64),
    ),
    local_version=versions,
    next_sync_seconds=st.integers(300, 900),
)


@given(replies)
def test_reply_says_the_same(reply):
    exact = Wishes(embedding_encoding=EmbeddingEncoding.FLOAT32)

    plain = orjson.loads(json_wire.write_sync(reply, exact))
    binary = sync_document(protobuf_wire.write_sync(reply, exact))

    for document in (plain, binary):
        for pattern in document["global"].get("similar", []):
            vector = np.array(pattern["embedding"], dtype=np.float32)
            pattern["embedding"] = vector.tolist()
    assert binary == plain


def test_rate_is_the_decimal_that_was_meant():
    """The nearest float32 of 0.7 is below 0.7."""
    body = sync_message(
        {
            "device_id": str(UUID(int=1)),
            "delta": {
                "local_version": 1,
                "patterns_updated": [
                    {
                        "id": str(UUID(int=2)),
                        "new_success_rate": 0.7,
                        "additional_samples": 0,
                    }
                ],
            },
        }
    )

    sent = body.SerializeToString()
    (update,) = protobuf_wire.read_sync(sent, never_asked).delta.updated

    assert update.new_success_rate == 0.7
    assert body.delta.patterns_updated[0].new_success_rate == pytest.approx(0.7)
    assert body.delta.patterns_updated[0].new_success_rate < 0.7

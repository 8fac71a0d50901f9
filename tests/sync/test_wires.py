"""Whatever a delta or a reply holds, JSON and protobuf say the same of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.bundles.messages import items_of
from federation.codebooks import Codebooks
from federation.publication import LoadedPublication, of_result
from federation.result import ResultLinks, ResultPattern, ResultTrend, RoundResult
from federation.selectors import Pointer
from patterns.context import ContentType, DayOfWeek, TimeOfDay
from patterns.delta import Accepted
from patterns.items import ItemTable
from sync import json_wire, protobuf_wire
from sync.embeddings import EmbeddingEncoding
from sync.fields import codes_by_name
from sync.messages import GlobalNews, SyncReply, SyncRequest, Wishes
from tests.sync.binary import sync_document, sync_message
from tests.sync.packing import packed_message
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

    assert_same(binary, plain)


@given(requests)
def test_packed_request_is_understood_the_same(document):
    for each in document["delta"]["patterns_added"]:
        each["success_rate"] = round(each["success_rate"], 4)
    for each in document["delta"]["patterns_updated"]:
        each["new_success_rate"] = round(each["new_success_rate"], 4)
    plain = json_wire.read_sync(orjson.loads(orjson.dumps(document)), never_asked)
    message = packed_message(document)
    assert message.delta.HasField("packed")

    packed = protobuf_wire.read_sync(message.SerializeToString(), never_asked)

    assert_same(packed, plain)


def assert_same(one: SyncRequest, other: SyncRequest) -> None:
    assert one.device_id == other.device_id
    assert one.global_version == other.global_version
    assert one.wishes == other.wishes
    assert one.delta.digest == other.delta.digest
    assert one.delta.local_version == other.delta.local_version
    assert one.delta.base_version == other.delta.base_version


def codes(choices: Any) -> st.SearchStrategy[int]:
    return st.sampled_from([0, *codes_by_name(choices).values()])


hundredths = st.integers(0, 100).map(lambda n: n / 100)
patterns = st.builds(
    ResultPattern,
    cell=st.integers(0, 2**31 - 1),
    success_rate=hundredths,
    sample_count=st.integers(1, 2**63 - 1),
    mass=st.just(1.0),
    device_count=st.just(60),
    batch_count=st.just(2),
    time_of_day=codes(TimeOfDay),
    day_of_week=codes(DayOfWeek),
    content_type=codes(ContentType),
    genre_hints=names(32).map(tuple),
    content_ids=names(64).map(tuple),
)
trends = st.builds(
    ResultTrend,
    region=st.sampled_from(["eu", "global"]),
    rank=st.just(1),
    item=st.text(letters, min_size=1, max_size=70),
    score=st.integers(0, 10**4).map(lambda n: n / 10**4),
    rate=st.just(0.1),
    usual_rate=st.just(0.1),
    device_count=st.just(60),
)
links = st.builds(
    lambda content_id, related: ResultLinks(
        content_id=content_id,
        related_ids=tuple(name for name, _ in related),
        weights=tuple(weight for _, weight in related),
    ),
    st.text(letters, min_size=1, max_size=64),
    st.lists(
        st.tuples(st.text(letters, min_size=1, max_size=64), hundredths),
        min_size=1,
        max_size=10,
        unique_by=lambda pair: pair[0],
    ),
)


def as_published(patterns, trends, links) -> LoadedPublication:
    result = RoundResult(
        patterns=tuple(sorted(patterns, key=lambda pattern: pattern.cell)),
        trends=tuple(trends),
        links=tuple(links),
        embeddings=np.array(
            [embedding(pattern.cell % 100) for pattern in patterns], dtype=np.float32
        ).reshape(-1, 384),
    )
    names = sorted(items_of(result))
    return of_result(
        result,
        Pointer(1, ""),
        items=ItemTable.of({name: 3 * i + 1 for i, name in enumerate(names)}),
        codebooks=Codebooks(),
    )


publications = st.builds(
    as_published,
    st.lists(patterns, max_size=5, unique_by=lambda pattern: pattern.cell),
    st.lists(trends, max_size=5, unique_by=lambda trend: (trend.region, trend.item)),
    st.lists(links, max_size=5, unique_by=lambda row: row.content_id),
)


@st.composite
def all_of_a_publication(draw: st.DrawFn) -> GlobalNews:
    publication = draw(publications)
    rows = draw(st.permutations(range(len(publication.cells))))
    linked = draw(st.permutations(sorted(publication.links)))
    return GlobalNews(
        publication=publication,
        similar=np.array(rows, dtype=np.int64),
        region=draw(st.sampled_from(["eu", "global", "elsewhere"])),
        linked=linked,
        named=linked,
    )


replies = st.builds(
    SyncReply,
    global_version=versions,
    news=st.none() | all_of_a_publication(),
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
    binary = sync_document(protobuf_wire.write_sync(reply, exact), items_in(reply))

    for document in (plain, binary):
        for pattern in document["global"].get("similar", []):
            vector = np.array(pattern["embedding"], dtype=np.float32)
            pattern["embedding"] = vector.tolist()
    assert binary == plain


def items_in(reply: SyncReply) -> dict[int, str]:
    if reply.news is None:
        return {}
    table = reply.news.publication.items
    return {n: name for n in range(len(table) + 1) if (name := table.name_of(n))}


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
    updated = protobuf_wire.read_sync(sent, never_asked).delta.updated

    assert updated.new_success_rates == [0.7]
    assert body.delta.patterns_updated[0].new_success_rate == pytest.approx(0.7)
    assert body.delta.patterns_updated[0].new_success_rate < 0.7

"""Deltas column by column: codes, ordinals, and what columns alone can get wrong."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from constellation.v1 import pattern_pb2, sync_pb2
from patterns.vectors import as_array
from tests.sync.binary import items_by_ordinal, sync_message
from tests.sync.packing import pack
from tests.sync.publishing import a_codebook, publish
from tests.sync.television import Television, addition, embedding, update

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SHARD = "shard_000"
ADDED = "delta.patterns_added"
PACKED = "delta.packed"


@pytest.fixture(params=["protobuf", "grpc"])
def wire(request):
    return request.param


def codes(*seeds: int, version: int = 1, size: int = 40) -> Any:
    rows = np.array([embedding(seed) for seed in seeds], dtype=np.float32)
    return a_codebook(version).encode(rows, size)


def coded(seed: int, pattern_id: UUID | None = None, **parts: Any) -> dict[str, Any]:
    """An addition whose vector is a code of 40 bytes."""
    code = codes(seed).tobytes()
    return addition(pattern_id, **{"embedding": {"codes": code}} | parts)


def listed(tv: Television, *, codebook_version: int = 0, **parts: Any) -> Any:
    message = sync_message(tv.body(**parts))
    message.delta.codebook_version = codebook_version
    return message


def packed(
    tv: Television,
    *,
    codebook_version: int = 0,
    ordinals: dict[str, int] | None = None,
    **parts: Any,
) -> sync_pb2.SyncRequest:
    body = tv.body(**parts)
    message = sync_message(tv.body(local_version=body["delta"]["local_version"]))
    message.delta.packed.CopyFrom(pack(body["delta"], ordinals=ordinals))
    message.delta.packed.embeddings.codebook_version = codebook_version
    return message


def spoilt(tv: Television, **columns: Any) -> sync_pb2.SyncRequest:
    """Two good additions, an update and a removal, with some columns replaced."""
    message = packed(
        tv,
        added=[addition(UUID(int=1)), addition(UUID(int=2))],
        updated=[update(UUID(int=3))],
        removed=[UUID(int=4)],
    )
    for name, value in columns.items():
        message.delta.packed.ClearField(name)
        filled = pattern_pb2.PackedPatterns(**{name: value})
        message.delta.packed.MergeFrom(filled)
    return message


def send(tv: Television, message: sync_pb2.SyncRequest) -> Any:
    return tv.post(message.SerializeToString())


def accepted(response: Any) -> dict[str, int]:
    assert response.status_code == 200, response.content
    counts: dict[str, int] = response.json()["accepted"]
    return counts


def refused(response: Any, code: str = "invalid_request") -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code, problem
    return problem


# What columns can get wrong


TWO_IDS = UUID(int=1).bytes + UUID(int=2).bytes


@pytest.mark.parametrize(
    ("columns", "field", "accepted"),
    [
        ({"added_ids": TWO_IDS[:-1]}, f"{PACKED}.added_ids", "16 bytes"),
        ({"updated_ids": b"x"}, f"{PACKED}.updated_ids", "16 bytes"),
        ({"removed_ids": bytes(17)}, f"{PACKED}.removed_ids", "16 bytes"),
        ({"success_rates": [9000]}, f"{PACKED}.success_rates", "2, one for each"),
        ({"success_rates": [1] * 500}, f"{PACKED}.success_rates", "2, one for each"),
        ({"sample_counts": []}, f"{PACKED}.sample_counts", "2, one for each"),
        ({"new_success_rates": []}, f"{PACKED}.new_success_rates", "1, one for each"),
        (
            {"additional_samples": [1, 2]},
            f"{PACKED}.additional_samples",
            "1, one for each",
        ),
        ({"times_of_day": b"\1"}, f"{PACKED}.times_of_day", "2, one for each"),
        ({"days_of_week": bytes(3)}, f"{PACKED}.days_of_week", "2, one for each"),
        ({"content_types": b"\1"}, f"{PACKED}.content_types", "2, one for each"),
        ({"embeddings": {}}, f"{PACKED}.embeddings", "384 numbers as float32"),
        (
            {"embeddings": {"float32": bytes(1536)}},
            f"{PACKED}.embeddings.float32",
            "3072 bytes: 1536 for each",
        ),
        (
            {"embeddings": {"int8": b"\1" * 767}},
            f"{PACKED}.embeddings.int8",
            "768 bytes: 384 for each",
        ),
        (
            {"embeddings": {"codes": bytes(81)}},
            f"{PACKED}.embeddings.codes",
            "2 times 8, 16, 24, 32, 40, 48 bytes",
        ),
        (
            {"genre_hints": {"counts": b"\1", "references": [0]}},
            f"{PACKED}.genre_hints.counts",
            "2, one for each",
        ),
        (
            {"content_ids": {"counts": b"\1\2", "references": [0]}},
            f"{PACKED}.content_ids.references",
            "3, the sum of counts",
        ),
        (
            {"content_ids": {"references": [0]}},
            f"{PACKED}.content_ids.references",
            "0, the sum of counts",
        ),
        ({"names": ["x"] * 1025}, f"{PACKED}.names", "at most 1024"),
        # What is wrong with one entry is named as in the lists.
        ({"success_rates": [9000, 10001]}, f"{ADDED}[1].success_rate", "0 to 10000"),
        ({"sample_counts": [0, 1]}, f"{ADDED}[0].sample_count", "from 1 to"),
        ({"sample_counts": [1, 2**31]}, f"{ADDED}[1].sample_count", "2147483647"),
        (
            {"new_success_rates": [2**32 - 1]},
            "delta.patterns_updated[0].new_success_rate",
            "0 to 10000",
        ),
        (
            {"additional_samples": [2**31]},
            "delta.patterns_updated[0].additional_samples",
            "2147483647",
        ),
        (
            {"times_of_day": b"\1\7"},
            f"{ADDED}[1].context.time_of_day",
            "early_morning, morning",
        ),
        ({"days_of_week": b"\xff\1"}, f"{ADDED}[0].context.day_of_week", "monday"),
        ({"content_types": b"\1\x0c"}, f"{ADDED}[1].context.content_type", "movie"),
        ({"added_ids": TWO_IDS[:16] * 2}, f"{ADDED}[1].id", "each id once"),
        ({"updated_ids": b""}, f"{PACKED}.new_success_rates", "0, one for each"),
        ({"removed_ids": bytes(32)}, "delta.patterns_removed[1]", "each id once"),
        (
            {"embeddings": {"int8": b"\1" * 384 + bytes(384)}},
            f"{ADDED}[1].embedding",
            "a length from 0.001",
        ),
        (
            {"embeddings": {"float16": b"\0\x3c" * 383 + b"\0\x7c" + b"\0\x3c" * 384}},
            f"{ADDED}[0].embedding[383]",
            "finite",
        ),
        (
            {"genre_hints": {"counts": b"\0\x09", "references": [0] * 9}},
            f"{ADDED}[1].context.genre_hints",
            "at most 8",
        ),
        (
            {"genre_hints": {"counts": b"\1\2", "references": [0, 0, 1]}},
            f"{ADDED}[1].context.genre_hints[1]",
            "begin with genre:",
        ),
        (
            {"content_ids": {"counts": b"\1\2", "references": [1, 1, 2]}},
            f"{ADDED}[1].context.content_ids[1]",
            "ordinals up to 0, or names",
        ),
        (
            {"content_ids": {"counts": b"\1\1", "references": [1, 2**64 - 1]}},
            f"{ADDED}[1].context.content_ids[0]",
            "ordinals up to 0, or names",
        ),
    ],
)
def test_column_is_refused(vega_tv, columns, field, accepted):
    problem = refused(send(vega_tv, spoilt(vega_tv, **columns)))

    assert problem["field"] == field
    assert accepted in problem["accepted"]
    assert vega_tv.stored() == {}


def test_names_are_checked_where_they_are_used(vega_tv):
    message = spoilt(vega_tv, names=["genre:thriller", "x" * 65])

    problem = refused(send(vega_tv, message))

    assert problem["field"] == f"{ADDED}[0].context.content_ids[0]"


def test_lists_and_packed_exclude_each_other(vega_tv):
    message = spoilt(vega_tv)
    message.delta.patterns_removed.append(bytes(16))

    problem = refused(send(vega_tv, message))

    assert problem["field"] == PACKED


@pytest.mark.parametrize("column", ["added_ids", "updated_ids", "removed_ids"])
def test_columns_are_counted_together(vega_tv, column):
    ids = b"".join(UUID(int=9 + i).bytes for i in range(63))

    problem = refused(
        send(vega_tv, spoilt(vega_tv, **{column: ids})), "too_many_patterns"
    )

    assert (problem["limit"], problem["field"]) == (64, "delta")


def test_empty_columns_are_an_empty_delta(vega_tv):
    vega_tv.sync(added=[addition()])
    message = sync_message(vega_tv.body())
    message.delta.packed.SetInParent()

    first, again = send(vega_tv, message), send(vega_tv, message)

    assert accepted(first) == accepted(again)
    assert len(vega_tv.stored()) == 1


# Ordinals


@pytest.fixture
def ordinals() -> dict[str, int]:
    publish(
        SHARD,
        version=1,
        trends={"global": ["genre:saga", "tt5", "tt6"]},
        links={"tt1": ["tt2"]},
        codebooks=[1, 2],
    )
    return {name: ordinal for ordinal, name in items_by_ordinal().items()}


def test_ordinals_stand_for_names(vega_tv, ordinals):
    context = {"genre_hints": ["saga", "new"], "content_ids": ["tt6", "unheard", "tt1"]}
    added = [addition(UUID(int=1), context=context)]

    response = send(vega_tv, packed(vega_tv, ordinals=ordinals, added=added))

    assert accepted(response)["stored"] == 1
    stored = vega_tv.stored()[UUID(int=1)]
    assert (stored.genre_hints, stored.content_ids) == (
        context["genre_hints"],
        context["content_ids"],
    )
    # Another way to say the same: a retry may come as lists.
    assert accepted(send(vega_tv, listed(vega_tv, added=added)))["stored"] == 1


def test_same_item_twice_is_kept_once(vega_tv, ordinals):
    message = packed(vega_tv, added=[addition(UUID(int=1), context={})])
    message.delta.packed.content_ids.counts = b"\3"
    message.delta.packed.content_ids.references.extend([ordinals["tt5"]] * 3)

    accepted(send(vega_tv, message))

    assert vega_tv.stored()[UUID(int=1)].content_ids == ["tt5"]


def test_genre_is_refused_as_a_content(vega_tv, ordinals):
    message = packed(vega_tv, added=[addition(context={}), addition(context={})])
    message.delta.packed.content_ids.counts = b"\1\2"
    message.delta.packed.content_ids.references.extend(
        [ordinals["tt5"], ordinals["tt6"], ordinals["genre:saga"]]
    )

    problem = refused(send(vega_tv, message))

    assert problem["field"] == f"{ADDED}[1].context.content_ids[1]"
    assert problem["accepted"] == "a name that begins with something else"


def test_genre_that_came_along_is_no_content(vega_tv):
    message = spoilt(vega_tv, names=["genre:thriller", "genre:drama"])

    problem = refused(send(vega_tv, message))

    assert problem["field"] == f"{ADDED}[0].context.content_ids[0]"


def test_ordinal_of_nobody_is_refused(vega_tv, ordinals):
    last = max(ordinals.values())
    message = packed(vega_tv, added=[addition(context={}), addition(context={})])
    message.delta.packed.content_ids.counts = b"\1\2"
    message.delta.packed.content_ids.references.extend([last, last, last + 1])

    problem = refused(send(vega_tv, message))

    assert problem["field"] == f"{ADDED}[1].context.content_ids[1]"
    assert problem["accepted"] == f"ordinals up to {last}, or names"


@pytest.mark.parametrize("wrong", ["nobody", "genre:saga"])
def test_contents_are_named_by_their_places_among_contents(vega_tv, ordinals, wrong):
    saga, unknown = ordinals["genre:saga"], max(ordinals.values()) + 1
    message = packed(vega_tv, added=[addition(context={}), addition(context={})])
    columns = message.delta.packed
    columns.genre_hints.counts = b"\1\2"
    columns.genre_hints.references.extend([saga, saga, saga])
    columns.content_ids.counts = b"\0\2"
    columns.content_ids.references.extend(
        [ordinals["tt5"], ordinals.get(wrong, unknown)]
    )

    problem = refused(send(vega_tv, message))

    assert problem["field"] == f"{ADDED}[1].context.content_ids[1]"


def test_same_genre_twice_is_kept_once(vega_tv, ordinals):
    message = packed(vega_tv, added=[addition(UUID(int=1), context={})])
    message.delta.packed.genre_hints.counts = b"\2"
    message.delta.packed.genre_hints.references.extend([ordinals["genre:saga"]] * 2)

    accepted(send(vega_tv, message))

    assert vega_tv.stored()[UUID(int=1)].genre_hints == ["saga"]


def test_genre_is_no_content(vega_tv, ordinals):
    message = packed(vega_tv, added=[addition(context={})])
    message.delta.packed.genre_hints.counts = b"\1"
    message.delta.packed.genre_hints.references.append(ordinals["tt5"])

    problem = refused(send(vega_tv, message))

    assert problem["field"] == f"{ADDED}[0].context.genre_hints[0]"


# Codes


@pytest.mark.parametrize("form", [listed, packed])
def test_pattern_may_be_sent_as_a_code(vega_tv, ordinals, form):
    message = form(vega_tv, added=[coded(3, UUID(int=1)), coded(4)], codebook_version=1)

    assert accepted(send(vega_tv, message))["stored"] == 2

    (meant,) = a_codebook(1).decode(codes(3))
    stored = as_array(vega_tv.stored()[UUID(int=1)].embedding)
    assert stored @ meant == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("size", [8, 16, 24, 32, 40, 48])
def test_code_may_be_of_any_size(vega_tv, ordinals, size):
    embeddings = [{"codes": row.tobytes()} for row in codes(3, 4, size=size)]

    response = send(
        vega_tv,
        packed(
            vega_tv,
            added=[addition(embedding=each) for each in embeddings],
            codebook_version=2,
        ),
    )

    assert accepted(response)["stored"] == 2


def test_sizes_and_encodings_may_be_mixed_in_lists(vega_tv, ordinals):
    sent = [
        {"codes": codes(3, size=8).tobytes()},
        embedding(4),
        {"codes": codes(5, size=48).tobytes()},
        {"codes": codes(6, size=8).tobytes()},
    ]
    ids = [UUID(int=i) for i in range(4)]
    added = [addition(i, embedding=e) for i, e in zip(ids, sent, strict=True)]

    accepted(send(vega_tv, listed(vega_tv, added=added, codebook_version=1)))

    stored = vega_tv.stored()
    meant = np.concatenate(
        [
            a_codebook(1).decode(codes(3, size=8)),
            np.array([embedding(4)], dtype=np.float32),
            a_codebook(1).decode(codes(5, size=48)),
            a_codebook(1).decode(codes(6, size=8)),
        ]
    )
    alike = [as_array(stored[i].embedding) @ meant[i.int] for i in ids]
    assert alike == pytest.approx([1] * 4, abs=1e-3)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (listed, "delta.codebook_version"),
        (packed, "delta.packed.embeddings.codebook_version"),
    ],
)
@pytest.mark.parametrize("version", [0, 3, 2**32 - 1])
def test_codes_of_an_unknown_codebook_are_refused(
    vega_tv, ordinals, form, field, version
):
    message = form(vega_tv, added=[coded(3)], codebook_version=version)

    problem = refused(send(vega_tv, message), "codebook_unknown")

    assert problem["status"] == 422
    assert (problem["field"], problem["sent"]) == (field, version)
    assert (problem["codebook_version"], problem["known"]) == (2, "1, 2")
    assert vega_tv.stored() == {}


def test_without_any_codebook_there_are_no_codes(vega_tv):
    message = packed(vega_tv, added=[coded(3)], codebook_version=1)

    problem = refused(send(vega_tv, message), "codebook_unknown")

    assert problem["codebook_version"] == 0
    assert "numbers" in problem["accepted"]


def test_codes_that_are_no_vector_are_refused(vega_tv, ordinals):
    message = listed(vega_tv, added=[coded(3)], codebook_version=1)
    message.delta.patterns_added[0].codes = bytes(33)

    problem = refused(send(vega_tv, message))

    assert problem["field"] == f"{ADDED}[0].embedding"
    assert problem["accepted"] == "codes of 8, 16, 24, 32, 40, 48 bytes"


# Exactly once


@pytest.mark.parametrize("form", [listed, packed])
@pytest.mark.parametrize("again", [listed, packed])
def test_retry_of_codes_may_come_in_the_other_form(vega_tv, ordinals, form, again):
    parts = {
        "added": [coded(3), coded(4, success_rate=0.1)],
        "updated": [update(uuid4())],
        "removed": [uuid4()],
        "codebook_version": 1,
    }

    first = accepted(send(vega_tv, form(vega_tv, **parts)))

    assert accepted(send(vega_tv, again(vega_tv, **parts))) == first
    assert len(vega_tv.stored()) == 1


def test_same_code_of_another_codebook_is_other_content(vega_tv, ordinals):
    added = [coded(3, UUID(int=1))]
    accepted(send(vega_tv, packed(vega_tv, added=added, codebook_version=1)))

    response = send(vega_tv, packed(vega_tv, added=added, codebook_version=2))

    refused(response, "version_reused")


def test_what_a_code_stands_for_is_other_content_than_the_code(vega_tv, ordinals):
    """Two machines may read a code with another last bit."""
    added = [coded(3, UUID(int=1))]
    accepted(send(vega_tv, packed(vega_tv, added=added, codebook_version=1)))
    (meant,) = a_codebook(1).decode(codes(3))

    response = send(
        vega_tv,
        listed(vega_tv, added=[addition(UUID(int=1), embedding=meant.tolist())]),
    )

    refused(response, "version_reused")


# What is asked of the database


@pytest.mark.parametrize(
    "parts",
    [
        {"added": [addition(context={})]},
        {"added": [coded(3)], "codebook_version": 1},
        {"embedding_encodings": ["codes", "int8"]},
    ],
)
def test_publication_is_asked_for_once(vega_tv, ordinals, parts):
    vega_tv.sync()
    message = packed(vega_tv, ordinals=ordinals, **parts)
    message.codebook_version = 1

    with CaptureQueriesContext(connections[SHARD]) as captured:
        accepted(send(vega_tv, message))

    pointers = [q for q in captured if "FROM federation_publication" in q["sql"]]
    assert len(pointers) == 1


def test_nothing_is_asked_before_the_token_is_found_good(vega_tv, ordinals):
    message = packed(vega_tv, added=[coded(3)], codebook_version=1)
    vega_tv.token = vega_tv.token[:-1] + ("A" if vega_tv.token[-1] != "A" else "B")

    with CaptureQueriesContext(connections[SHARD]) as captured:
        refused(send(vega_tv, message), "token_invalid")

    assert not captured.captured_queries

"""The same refusals and limits through JSON and through protobuf, answer by answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from shards.models import Device
from tests.sync.television import WIRES, Television, addition, embedding, update

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SOME_ID = UUID(int=7)
MISSING = object()
ADDED, UPDATED = "delta.patterns_added[1]", "delta.patterns_updated[1]"

#: Facts of a problem that say how a format writes things.
_OF_THE_FORMAT = {"detail", "accepted"}


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


def refused(tv: Television, body: dict[str, Any]) -> dict[str, Any]:
    """Send what will be refused; through the other door it is refused alike."""
    response = tv.post(body)
    problem: dict[str, Any] = response.json()
    assert response["Content-Type"] == "application/problem+json", problem

    spoken = tv.wire
    tv.wire = next(wire for wire in WIRES if wire != spoken)
    try:
        other = tv.post(body).json()
    finally:
        tv.wire = spoken
    assert told(problem) == told(other)
    return problem


def told(problem: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in problem.items() if k not in _OF_THE_FORMAT}

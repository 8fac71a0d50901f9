"""Every refusal of a sync names the field and says what would be accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sync.television import addition, embedding, update

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

SOME_ID = UUID(int=7)
ADDED = "delta.patterns_added[0]"
UPDATED = "delta.patterns_updated[0]"

MISSING = object()


def with_part(whole: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Replace, or leave out, one part of a nested dict."""
    *parents, last = path.split(".")
    target = whole
    for name in parents:
        target = target[name]
    if value is MISSING:
        del target[last]
    else:
        target[last] = value
    return whole


def spoilt(index: int, value: Any) -> list[Any]:
    numbers: list[Any] = embedding(1)
    numbers[index] = value
    return numbers


@pytest.mark.parametrize(
    ("part", "value", "field", "accepted"),
    [
        ("id", MISSING, "id", "a UUID"),
        ("id", 7, "id", "a UUID"),
        ("id", "seven", "id", "a UUID"),
        ("id", "{" + str(SOME_ID) + "}", "id", "a UUID"),
        ("id", SOME_ID.hex, "id", "a UUID"),
        # As long as a UUID, with its hyphens in the wrong places.
        ("id", "-" * 4 + SOME_ID.hex, "id", "a UUID"),
        ("embedding", MISSING, "embedding", "384 finite"),
        ("embedding", "AAAA", "embedding", "384 finite"),
        ("embedding", {}, "embedding", "384 finite"),
        ("embedding", [], "embedding", "384 finite"),
        ("embedding", embedding(1)[:-1], "embedding", "384 finite"),
        ("embedding", [*embedding(1), 0.1], "embedding", "384 finite"),
        ("embedding", [0.0] * 384, "embedding", "a length from 0.001"),
        ("embedding", [1e-9] * 384, "embedding", "a length from 0.001"),
        ("embedding", [100.0] * 384, "embedding", "a length from 0.001"),
        ("embedding", spoilt(17, 1e39), "embedding[17]", "384 finite float32"),
        ("embedding", spoilt(17, -1e300), "embedding[17]", "384 finite float32"),
        ("embedding", spoilt(0, None), "embedding[0]", "384 finite"),
        ("embedding", spoilt(383, True), "embedding[383]", "384 finite"),
        ("embedding", spoilt(1, "0.5"), "embedding[1]", "384 finite"),
        ("embedding", spoilt(1, [0.5]), "embedding[1]", "384 finite"),
        ("embedding", [[0.05]] * 384, "embedding[0]", "384 finite"),
        ("success_rate", MISSING, "success_rate", "a number from 0 to 1"),
        ("success_rate", "0.9", "success_rate", "a number from 0 to 1"),
        ("success_rate", True, "success_rate", "a number from 0 to 1"),
        ("success_rate", -0.01, "success_rate", "a number from 0 to 1"),
        ("success_rate", 1.01, "success_rate", "a number from 0 to 1"),
        ("success_rate", 1e300, "success_rate", "a number from 0 to 1"),
        ("sample_count", MISSING, "sample_count", "from 1 to 2147483647"),
        ("sample_count", 0, "sample_count", "from 1 to 2147483647"),
        ("sample_count", -1, "sample_count", "from 1 to 2147483647"),
        ("sample_count", 2**31, "sample_count", "from 1 to 2147483647"),
        ("sample_count", 10**18, "sample_count", "from 1 to 2147483647"),
        ("sample_count", 3.5, "sample_count", "a whole number"),
        ("sample_count", True, "sample_count", "a whole number"),
        ("sample_count", "3", "sample_count", "a whole number"),
        ("context", [], "context", "an object"),
        ("context", "evening", "context", "an object"),
        ("context.time_of_day", "tea time", "context.time_of_day", "early_morning"),
        ("context.time_of_day", "", "context.time_of_day", "early_morning"),
        ("context.time_of_day", 4, "context.time_of_day", "early_morning"),
        ("context.day_of_week", "Saturday", "context.day_of_week", "saturday"),
        ("context.content_type", "film", "context.content_type", "movie"),
        ("context.genre_hints", "drama", "context.genre_hints", "a list of at most 8"),
        ("context.genre_hints", ["x"] * 9, "context.genre_hints", "at most 8"),
        ("context.genre_hints", ["", "x"], "context.genre_hints[0]", "1 to 32"),
        ("context.genre_hints", ["x", 3], "context.genre_hints[1]", "1 to 32"),
        ("context.genre_hints", ["x" * 33], "context.genre_hints[0]", "1 to 32"),
        ("context.genre_hints", ["a\0b"], "context.genre_hints[0]", "none of them NUL"),
        ("context.content_ids", ["x"] * 9, "context.content_ids", "at most 8"),
        ("context.content_ids", ["x" * 65], "context.content_ids[0]", "1 to 64"),
        ("context.content_ids", [None], "context.content_ids[0]", "1 to 64"),
        (
            "context.content_ids",
            ["tt1", "tt1", "genre:drama"],
            "context.content_ids[2]",
            "begins with something else",
        ),
        ("created_at", -1, "created_at", "from 0 to 253402300799"),
        ("created_at", 253402300800, "created_at", "from 0 to 253402300799"),
        ("created_at", "now", "created_at", "a number of seconds"),
        ("updated_at", "now", "updated_at", "a number of seconds"),
    ],
)
def test_addition_is_refused(vega_tv, part, value, field, accepted):
    body = vega_tv.body(added=[with_part(addition(SOME_ID), part, value)])

    assert_refused(vega_tv.post(body), f"{ADDED}.{field}", accepted)


@pytest.mark.parametrize(
    ("part", "value", "accepted"),
    [
        ("id", MISSING, "a UUID"),
        ("id", None, "a UUID"),
        ("new_success_rate", MISSING, "a number from 0 to 1"),
        ("new_success_rate", 1.5, "a number from 0 to 1"),
        ("new_success_rate", False, "a number from 0 to 1"),
        ("additional_samples", MISSING, "from 0 to 2147483647"),
        ("additional_samples", -1, "from 0 to 2147483647"),
        ("additional_samples", 2**31, "from 0 to 2147483647"),
        ("additional_samples", 0.5, "a whole number"),
    ],
)
def test_update_is_refused(vega_tv, part, value, accepted):
    body = vega_tv.body(updated=[with_part(update(SOME_ID), part, value)])

    assert_refused(vega_tv.post(body), f"{UPDATED}.{part}", accepted)


@pytest.mark.parametrize(
    ("part", "value", "accepted"),
    [
        ("device_id", MISSING, "a UUID"),
        ("device_id", 5, "a UUID"),
        ("delta", MISSING, "an object"),
        ("delta", None, "an object"),
        ("delta", [], "an object"),
        ("delta.local_version", MISSING, "from 0 to 9223372036854775807"),
        ("delta.local_version", -1, "from 0 to 9223372036854775807"),
        ("delta.local_version", 2**63, "from 0 to 9223372036854775807"),
        ("delta.local_version", 1e300, "a whole number"),
        ("delta.local_version", 1.5, "a whole number"),
        ("delta.local_version", "1", "a whole number"),
        ("delta.local_version", True, "a whole number"),
        ("base_version", -1, "from 0 to 9223372036854775807"),
        ("base_version", 2**63, "from 0 to 9223372036854775807"),
        ("base_version", "0", "a whole number"),
        ("global_version", -1, "from 0 to 9223372036854775807"),
        ("global_version", [], "a whole number"),
        ("delta.patterns_added", {}, "a list"),
        ("delta.patterns_updated", "none", "a list"),
        ("delta.patterns_removed", 0, "a list"),
    ],
)
def test_envelope_is_refused(vega_tv, part, value, accepted):
    body = with_part(vega_tv.body(), part, value)

    assert_refused(vega_tv.post(body), part, accepted)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"added": [None]}, "delta.patterns_added[0]"),
        ({"added": [addition(), 3]}, "delta.patterns_added[1]"),
        ({"updated": ["x"]}, "delta.patterns_updated[0]"),
        ({"removed": [SOME_ID, "x"]}, "delta.patterns_removed[1]"),
        ({"removed": [3]}, "delta.patterns_removed[0]"),
    ],
)
def test_entry_of_the_wrong_kind_is_refused(vega_tv, parts, field):
    assert_refused(vega_tv.post(vega_tv.body(**parts)), field, "")


@pytest.mark.parametrize("body", [[], "sync", 3, None, True])
def test_body_that_is_no_object_is_refused(vega_tv, body):
    assert_refused(vega_tv.post(body), "body", "an object")


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"added": [addition(SOME_ID), addition(SOME_ID)]}, "patterns_added[1].id"),
        ({"updated": [update(SOME_ID), update(SOME_ID)]}, "patterns_updated[1].id"),
        ({"removed": [SOME_ID, UUID(int=8), SOME_ID]}, "patterns_removed[2]"),
    ],
)
def test_id_named_twice_in_one_list_is_refused(vega_tv, parts, field):
    response = vega_tv.post(vega_tv.body(**parts))

    assert_refused(response, f"delta.{field}", "each id once")


def test_same_id_in_upper_case_is_the_same_id(vega_tv):
    lower = UUID("abcdef00-0000-4000-8000-000000000000")
    body = vega_tv.body(added=[addition(lower), addition(lower)])
    body["delta"]["patterns_added"][1]["id"] = str(lower).upper()

    assert_refused(vega_tv.post(body), "delta.patterns_added[1].id", "each id once")


def test_id_may_be_in_every_list_once(vega_tv):
    vega_tv.sync(
        added=[addition(SOME_ID)], updated=[update(SOME_ID)], removed=[SOME_ID]
    )

    assert vega_tv.stored() == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda n: {"added": [addition() for _ in range(n)]},
        lambda n: {"updated": [update(UUID(int=i)) for i in range(n)]},
        lambda n: {"removed": [UUID(int=i) for i in range(n)]},
        lambda n: {
            "added": [addition() for _ in range(30)],
            "updated": [update(UUID(int=i)) for i in range(30)],
            "removed": [UUID(int=i) for i in range(n - 60)],
        },
    ],
    ids=["added", "updated", "removed", "all three"],
)
def test_sync_takes_64_patterns_and_no_more(
    vega_tv, make: Callable[[int], dict[str, Any]]
):
    assert vega_tv.post(vega_tv.body(**make(64))).status_code == 200

    response = vega_tv.post(vega_tv.body(**make(65), local_version=2))

    assert response.status_code == 422
    problem = response.json()
    assert problem["code"] == "too_many_patterns"
    assert problem["field"] == "delta"
    assert (problem["limit"], problem["limit_name"]) == (64, "patterns_per_sync")


def test_tv_keeps_256_patterns_and_no_more(vega_tv):
    ids = [UUID(int=i) for i in range(256)]
    for start in range(0, 256, 64):
        vega_tv.sync(added=[addition(i) for i in ids[start : start + 64]])

    response = vega_tv.post(vega_tv.body(added=[addition()]))

    assert response.status_code == 422
    problem = response.json()
    assert problem["code"] == "too_many_patterns"
    assert problem["field"] == "delta.patterns_added"
    assert (problem["limit"], problem["limit_name"]) == (256, "patterns_per_device")
    assert len(vega_tv.stored()) == 256

    # What counts is how many there are afterwards.
    vega_tv.sync(added=[addition(), addition(ids[1])], removed=[ids[0]])
    vega_tv.sync(added=[addition(success_rate=0.1)])

    assert len(vega_tv.stored()) == 256


def test_whole_numbers_may_come_as_floats(vega_tv):
    """Some languages have no other numbers."""
    only = uuid4()

    vega_tv.sync(added=[addition(only, sample_count=12.0)], local_version=1.0)

    assert vega_tv.stored()[only].sample_count == 12


def test_longest_of_everything_is_accepted(vega_tv):
    largest = addition(
        sample_count=2**31 - 1,
        success_rate=1.0,
        embedding=[999.0] + [0.0] * 383,
        context={
            "genre_hints": [chr(0x1F600 + i) * 32 for i in range(8)],
            "content_ids": [chr(0x4E00 + i) * 64 for i in range(8)],
        },
        created_at=0,
        updated_at=253402300799,
    )

    response = vega_tv.post(
        vega_tv.body(
            added=[largest, addition(embedding=[0.0] * 383 + [0.002])],
            local_version=2**63 - 1,
            base_version=0,
            global_version=2**63 - 1,
        )
    )

    assert response.status_code == 200, response.content
    assert response.json()["local_version"] == 2**63 - 1
    assert len(vega_tv.stored()) == 2


def assert_refused(response, field: str, accepted: str) -> None:
    problem = response.json()
    assert response.status_code == 422, problem
    assert response["Content-Type"] == "application/problem+json"
    assert problem["code"] == "invalid_request"
    assert problem["field"] == field
    assert accepted in problem["accepted"]
    assert field in problem["detail"]
    assert problem["accepted"] in problem["detail"]

"""Deltas are the difference between what is known and what was told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import pytest

from fleet.json_wire import JsonWire
from fleet.outbox import PATTERNS_PER_SYNC, Outbox, Pending
from fleet.wire import LearnedPattern
from tests.fleet.patterns import pattern


def compose(
    outbox: Outbox,
    patterns: Sequence[LearnedPattern],
    *,
    limit: int = PATTERNS_PER_SYNC,
) -> Pending:
    return outbox.compose(
        patterns, wire="json", write=JsonWire().write_delta, limit=limit
    )


def one_at_a_time(patterns: Sequence[LearnedPattern]) -> Sequence[LearnedPattern]:
    return patterns[:1]


def delta_of(pending: Pending) -> Any:
    return orjson.loads(pending.content)


@pytest.fixture
def outbox() -> Outbox:
    """The server holds patterns 1 and 2, version 1."""
    outbox = Outbox(device_id=UUID(int=1))
    compose(outbox, [pattern(1), pattern(2)])
    outbox.confirm()
    return outbox


def test_grown_counts_are_an_update(outbox):
    delta = delta_of(compose(outbox, [pattern(1, watched=14, liked=12), pattern(2)]))

    assert delta["patterns_updated"] == [
        {"id": str(UUID(int=1)), "new_success_rate": 0.75, "additional_samples": 4}
    ]
    assert delta["patterns_added"] == delta["patterns_removed"] == []


def test_shrunk_counts_are_an_addition(outbox):
    """No update can take samples back."""
    delta = delta_of(compose(outbox, [pattern(1, watched=9, liked=9), pattern(2)]))

    assert [each["sample_count"] for each in delta["patterns_added"]] == [9]
    assert delta["patterns_updated"] == []


def test_likes_withdrawn_from_the_same_count_are_an_addition(outbox):
    delta = delta_of(compose(outbox, [pattern(1, watched=12, liked=8), pattern(2)]))

    assert [each["success_rate"] for each in delta["patterns_added"]] == [8 / 12]


def test_vanished_pattern_is_a_removal(outbox):
    delta = delta_of(compose(outbox, [pattern(1)]))

    assert delta["patterns_removed"] == [str(UUID(int=2))]


def test_delta_carries_no_more_than_the_limit(outbox):
    known = [pattern(number) for number in range(2, 9)]

    first = delta_of(compose(outbox, known, limit=4))
    outbox.confirm()
    second = delta_of(compose(outbox, known, limit=4))

    assert (len(first["patterns_removed"]), len(first["patterns_added"])) == (1, 3)
    assert (len(second["patterns_removed"]), len(second["patterns_added"])) == (0, 3)


def test_outbox_owes_until_the_last_part_is_confirmed(outbox):
    known = [pattern(number) for number in range(1, 5)]
    owed = []

    for _ in range(3):
        owed.append(outbox.owes(known))
        compose(outbox, known, limit=1)
        outbox.confirm()

    assert owed == [True, True, False]


def test_unconfirmed_delta_stands_whatever_is_known_by_now(outbox):
    first = compose(outbox, [pattern(3)])

    assert compose(outbox, [pattern(4)]) is first


def test_discarded_delta_changes_nothing(outbox):
    compose(outbox, [pattern(3)])

    outbox.discard()

    assert outbox.confirmed_version == 1
    assert sorted(outbox.told) == [str(UUID(int=1)), str(UUID(int=2))]


def test_starting_over_removes_what_may_be_there_and_is_not_known(outbox):
    compose(outbox, [pattern(1), pattern(3)])  # on its way, perhaps applied

    outbox.start_over(server_version=5)

    delta = delta_of(compose(outbox, [pattern(1)]))
    assert delta["local_version"] == 6
    assert [each["id"] for each in delta["patterns_added"]] == [str(UUID(int=1))]
    assert delta["patterns_removed"] == [str(UUID(int=2)), str(UUID(int=3))]


def test_removal_of_a_doubtful_pattern_is_sent_once(outbox):
    outbox.start_over(server_version=5)
    compose(outbox, [pattern(1)])
    outbox.confirm()

    assert not outbox.owes([pattern(1)])


def test_saved_outbox_comes_back_the_same(outbox, tmp_path):
    compose(outbox, [pattern(1), pattern(3)])
    outbox.doubtful = {"b", "a"}
    outbox.token = "secret"

    outbox.save(tmp_path / "tv.json")

    assert Outbox.load(tmp_path / "tv.json") == outbox


def test_token_on_disk_is_its_owners_alone(outbox, tmp_path):
    outbox.save(tmp_path / "tv.json")

    assert (tmp_path / "tv.json").stat().st_mode & 0o077 == 0


def test_new_patterns_that_are_not_alike_wait_for_the_next_delta(outbox):
    known = [pattern(1, watched=14, liked=12), pattern(2), pattern(3), pattern(4)]

    def compose_next() -> Any:
        return delta_of(
            outbox.compose(
                known,
                wire="json",
                write=JsonWire().write_delta,
                alike=one_at_a_time,
            )
        )

    first = compose_next()
    outbox.confirm()
    second = compose_next()
    outbox.confirm()

    assert [each["id"] for each in first["patterns_added"]] == [str(UUID(int=3))]
    assert len(first["patterns_updated"]) == 1
    assert [each["id"] for each in second["patterns_added"]] == [str(UUID(int=4))]
    assert second["patterns_updated"] == []
    assert not outbox.owes(known)

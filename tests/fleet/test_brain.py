"""What was watched becomes a few tastes that keep their identity."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest

from fleet.brain import LIKED_REMEMBERED, Brain, day_part, two_means
from fleet.synthetic import Plan, SyntheticFleet
from tests.fleet.patterns import MONDAY_EVENING, direction, near, viewing


@pytest.fixture
def brain() -> Brain:
    return Brain(household_id=UUID(int=1))


def likes(axis: int, count: int, *, first: int = 0):
    """Views of so many liked contents close to one axis."""
    return [
        viewing(f"{axis}-{i}", near(axis, stray=0.05, towards=100 + i))
        for i in range(first, first + count)
    ]


def contents(brain: Brain) -> set[frozenset[str]]:
    return {frozenset(pattern.content_ids) for pattern in brain.patterns()}


def test_two_tastes_are_two_patterns(brain):
    brain.watch([*likes(1, 3), *likes(2, 2)])

    assert contents(brain) == {
        frozenset({"1-0", "1-1", "1-2"}),
        frozenset({"2-0", "2-1"}),
    }


def test_pattern_points_where_its_contents_point(brain):
    brain.watch(likes(1, 4))

    [pattern] = brain.patterns()
    mean = np.sum([each.embedding for each in likes(1, 4)], axis=0)
    assert np.allclose(pattern.embedding, mean / np.linalg.norm(mean), atol=1e-6)


def test_largest_taste_comes_first(brain):
    brain.watch([*likes(1, 2), *likes(2, 5)])

    assert [pattern.watched_count for pattern in brain.patterns()] == [5, 2]


def test_taste_too_large_for_a_pattern_is_split_by_direction(brain):
    """Cosine 0.77 between the halves: one taste until it names nine contents."""
    here = [
        viewing(f"here-{i}", near(1, stray=0.02, towards=100 + i)) for i in range(5)
    ]
    beside = near(1, stray=0.2, towards=2)
    there = [
        viewing(f"there-{i}", _unit(beside + 0.1 * direction(200 + i)))
        for i in range(4)
    ]

    brain.watch([*here, *there])

    assert contents(brain) == {
        frozenset(each.content_id for each in here),
        frozenset(each.content_id for each in there),
    }


def test_larger_half_of_a_split_keeps_the_identity(brain):
    brain.watch(likes(1, 8))
    [before] = brain.patterns()

    brain.watch(likes(1, 1, first=8))

    larger, smaller = brain.patterns()
    assert larger.id == before.id
    assert smaller.id != before.id
    assert len(larger.content_ids) + len(smaller.content_ids) == 9


def test_watching_something_again_counts_and_changes_nothing_else(brain):
    brain.watch(likes(1, 2))
    [before] = brain.patterns()

    brain.watch(likes(1, 1))

    [after] = brain.patterns()
    assert (before.watched_count, after.watched_count) == (2, 3)
    assert after.id == before.id
    assert after.fingerprint == before.fingerprint


def test_dislike_within_reach_lowers_the_success(brain):
    brain.watch(likes(1, 4))

    brain.watch([viewing("bad", direction(1), is_liked=False)])

    [pattern] = brain.patterns()
    assert (pattern.liked_count, pattern.watched_count) == (4, 5)
    assert "bad" not in pattern.content_ids


def test_dislike_out_of_reach_says_nothing_about_a_taste(brain):
    brain.watch(likes(1, 4))

    brain.watch([viewing("bad", near(1, stray=0.45, towards=3), is_liked=False)])

    [pattern] = brain.patterns()
    assert pattern.success_rate == 1


def test_wide_taste_is_not_blamed_for_what_is_at_its_edge(brain):
    wide = [
        viewing(f"wide-{i}", near(1, stray=0.28, towards=100 + i)) for i in range(8)
    ]
    at_its_edge = viewing("edge", near(1, stray=0.18, towards=3), is_liked=False)
    brain.watch(wide)
    [taste] = brain.patterns()
    cosines = [float(each.embedding @ taste.embedding) for each in wide]
    assert min(cosines) < at_its_edge.embedding @ taste.embedding

    brain.watch([at_its_edge])

    [pattern] = brain.patterns()
    assert pattern.success_rate == 1


def test_single_like_is_spoken_against_by_what_is_very_close(brain):
    brain.watch([viewing("a", direction(1)), viewing("b", direction(2))])

    brain.watch(
        [
            viewing("very close", near(1, stray=0.15, towards=3), is_liked=False),
            viewing("less close", near(2, stray=0.3, towards=3), is_liked=False),
        ]
    )

    [pattern] = brain.patterns()
    assert pattern.content_ids == ("b",)


def test_taste_that_pleases_too_rarely_is_not_told(brain):
    brain.watch(likes(1, 4))

    brain.watch([viewing(f"bad-{i}", direction(1), is_liked=False) for i in range(2)])

    assert brain.patterns() == []


def test_dislike_of_something_once_liked_takes_it_back(brain):
    brain.watch(likes(1, 4))
    [content, *_] = likes(1, 1)

    brain.watch([viewing(content.content_id, content.embedding, is_liked=False)])

    [pattern] = brain.patterns()
    assert content.content_id not in pattern.content_ids
    assert "1-0" in brain.watched


def test_like_of_something_once_disliked_counts_as_a_like_alone(brain):
    brain.watch([viewing("a", direction(1), is_liked=False)])

    brain.watch([viewing("a", direction(1))])

    [pattern] = brain.patterns()
    assert (pattern.liked_count, pattern.watched_count) == (1, 1)


def test_old_likes_fade(brain):
    brain.watch(
        viewing(f"content-{i}", direction(i)) for i in range(LIKED_REMEMBERED + 3)
    )

    named = [c for pattern in brain.patterns() for c in pattern.content_ids]
    assert len(named) == LIKED_REMEMBERED
    assert {"content-0", "content-1", "content-2"}.isdisjoint(named)


def test_like_that_is_renewed_does_not_fade(brain):
    brain.watch(viewing(f"content-{i}", direction(i)) for i in range(LIKED_REMEMBERED))

    brain.watch([viewing("content-0", direction(0)), viewing("new", direction(300))])

    assert "content-0" in brain.liked
    assert "content-1" not in brain.liked


def test_context_names_what_most_viewings_share(brain):
    saturday = MONDAY_EVENING + timedelta(days=5)
    sunday_night = MONDAY_EVENING + timedelta(days=6, hours=3)
    brain.watch(
        [
            _watched("a", saturday, ("crime", "drama")),
            _watched("b", saturday, ("crime",)),
            _watched("c", saturday + timedelta(days=1), ("crime", "comedy")),
            _watched("d", sunday_night, ()),
        ]
    )

    [pattern] = brain.patterns()
    context = pattern.context
    assert context.time_of_day == "evening"
    assert context.day_of_week == "saturday"
    assert context.content_type == "series"
    assert context.genre_hints[0] == "crime"


def test_context_falls_back_to_the_half_of_the_week(brain):
    brain.watch(
        _watched(name, MONDAY_EVENING + timedelta(days=day), ())
        for name, day in (("a", 0), ("b", 1), ("c", 2), ("d", 5))
    )

    [pattern] = brain.patterns()
    assert pattern.context.day_of_week == "weekday"


@pytest.mark.parametrize(
    ("hour", "part"),
    [
        (0, "late_night"),
        (4, "late_night"),
        (5, "early_morning"),
        (8, "morning"),
        (12, "afternoon"),
        (17, "evening"),
        (21, "night"),
        (23, "night"),
    ],
)
def test_day_has_six_parts(hour, part):
    assert day_part(MONDAY_EVENING.replace(hour=hour)) == part


def test_replayed_past_gives_the_same_patterns():
    """A simulated TV that is switched on again must not look like another."""
    fleet = SyntheticFleet(Plan(seed=3))
    first, second = (Brain(household_id=UUID(int=7)) for _ in range(2))

    for brain in (first, second):
        for round_number in range(5):
            brain.watch(fleet.viewings(7, round_number))

    assert [(p.id, p.fingerprint) for p in first.patterns()] == [
        (p.id, p.fingerprint) for p in second.patterns()
    ]


def test_households_share_no_pattern_id():
    brains = [Brain(household_id=UUID(int=number)) for number in range(2)]
    for brain in brains:
        brain.watch(likes(1, 2))

    first, second = (brain.patterns()[0].id for brain in brains)
    assert first != second


@pytest.mark.parametrize("count", [2, 3, 9])
def test_halving_what_is_all_alike_leaves_neither_half_empty(count):
    labels = two_means(np.stack([direction(1)] * count))

    assert set(labels) == {0, 1}


def test_halves_are_what_points_the_same_way():
    embeddings = np.stack(
        [near(axis, stray=0.05, towards=100 + i) for i, axis in enumerate([1, 2, 1, 2])]
    )

    first, second, third, fourth = two_means(embeddings)

    assert first == third != second == fourth


def _watched(name, moment, genres):
    return viewing(
        name,
        near(1, stray=0.05, towards=100 + ord(name)),
        watched_at=moment,
        genres=genres,
        content_type="series",
    )


def _unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)

"""What a delta asks of the stored rows, before any of them is known."""

from __future__ import annotations

from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from patterns.reckoning import SAMPLE_COUNT_MAX, Reckoning, Wish, averaged, reckon
from tests.patterns.deltas import Addition, Update, delta

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


def reckoned(**lists) -> Reckoning:
    return reckon(delta(**lists), quality_threshold=0.7)


def wishes(reckoning: Reckoning) -> dict[UUID, Wish]:
    return {
        UUID(bytes=pattern_id): Wish(wish)
        for pattern_id, wish in zip(reckoning.ids, reckoning.wishes, strict=True)
    }


def told(reckoning: Reckoning) -> tuple[int, int, int, int]:
    """Stored, filtered, updated, removed."""
    return (
        reckoning.stored,
        reckoning.filtered,
        reckoning.updated,
        reckoning.removed,
    )


def test_lists_of_different_ids_are_asked_for_as_they_are():
    reckoning = reckoned(
        added=[Addition(id=A, success_rate=0.8, sample_count=3)],
        updated=[Update(id=B, new_success_rate=0.1, additional_samples=7)],
        removed=[C],
    )

    assert wishes(reckoning) == {A: Wish.STORE, B: Wish.UPDATE, C: Wish.REMOVE}
    assert list(reckoning.rates) == [0, 0.1, 0]
    assert list(reckoning.samples) == [0, 7, 0]
    assert list(reckoning.rows) == [0]
    assert (list(reckoning.row_rates), list(reckoning.row_samples)) == ([0.8], [3])
    assert told(reckoning) == (1, 0, 0, 0)


def test_no_id_is_asked_for_twice():
    reckoning = reckoned(
        added=[Addition(id=A), Addition(id=C)],
        updated=[Update(id=A), Update(id=B), Update(id=C)],
        removed=[B],
    )

    assert wishes(reckoning) == {
        A: Wish.STORE,
        C: Wish.STORE,
        B: Wish.UPDATE_AND_REMOVE,
    }
    assert list(reckoning.row_samples) == [8, 8]
    assert told(reckoning) == (2, 0, 2, 0)


def test_added_and_removed_at_once_is_never_written():
    reckoning = reckoned(added=[Addition(id=A)], removed=[A])

    assert wishes(reckoning) == {A: Wish.DROP}
    assert list(reckoning.rows) == []
    assert told(reckoning) == (1, 0, 0, 1)


def test_addition_below_the_threshold_still_replaces():
    reckoning = reckoned(
        added=[Addition(id=A, success_rate=0.1), Addition(id=B)],
        updated=[Update(id=A)],
        removed=[A],
    )

    assert wishes(reckoning) == {A: Wish.DROP, B: Wish.STORE}
    assert list(reckoning.rows) == [1]
    assert told(reckoning) == (1, 1, 0, 0)


def test_added_above_and_updated_below_the_threshold_is_never_written():
    reckoning = reckoned(
        added=[Addition(id=A, success_rate=0.8, sample_count=1)],
        updated=[Update(id=A, new_success_rate=0.1, additional_samples=1)],
    )

    assert wishes(reckoning) == {A: Wish.DROP}
    assert told(reckoning) == (1, 1, 0, 0)


@given(
    rate=st.floats(0, 1),
    new=st.floats(0, 1),
    n=st.integers(1, 2**31 - 1),
    k=st.integers(0, 2**31 - 1),
)
def test_update_is_the_weighted_mean(rate, new, n, k):
    mean, count = averaged(rate, n, new, k)

    exact = (Fraction(rate) * n + Fraction(new) * k) / (n + k)
    assert count == n + k
    assert abs(Fraction(mean) - exact) <= Fraction(1, 2**50)
    assert min(rate, new) <= mean <= max(rate, new)


@given(rate=st.floats(0, 1), n=st.integers(1, 10**6), k=st.integers(0, 10**6))
def test_saying_the_same_again_changes_no_rate(rate, n, k):
    """0.7 and 0.7 must not average to 0.6999999999999998, which is filtered."""
    assert averaged(rate, n, rate, k)[0] == rate


def test_sample_count_stops_where_the_column_does():
    assert averaged(0.9, SAMPLE_COUNT_MAX, 0.9, 5)[1] == SAMPLE_COUNT_MAX

from __future__ import annotations

import pytest

from federation.kernels import ShardHistory
from federation.kernels.composition import Composition, without_removed

WHOLE = {1: ShardHistory(60.0, 0.0, False), 2: ShardHistory(40.0, 0.0, False)}


def composition(past, reporters, absent=(), rounds=2.0):
    return Composition(past, reporters, absent, rounds=rounds)


@pytest.mark.parametrize("rate", [0.0, 0.1, 1 / 3, 1.0])
def test_a_whole_fleet_explains_nothing_however_its_tvs_report(rate):
    whole = composition(WHOLE, {1: 7, 2: 93})

    assert whole.lowest(rate) == whole.highest(rate) == rate


def test_a_missing_shard_may_have_had_none_of_an_item_or_all():
    one_missing = composition(WHOLE, {1: 30}, absent=[2])

    assert one_missing.highest(0.3) == pytest.approx(0.5)  # all of it on shard 1
    assert one_missing.lowest(0.5) == pytest.approx(1 / 6)  # shard 2 had 0.4 of it
    assert one_missing.lowest(0.3) == 0
    assert one_missing.highest(0.7) == 1


def test_a_shard_that_missed_rounds_has_less_of_the_history_than_of_the_tvs():
    past = {1: ShardHistory(60.0, 0.0, False), 2: ShardHistory(20.0, 1.0, True)}

    back = composition(past, {1: 30, 2: 20})

    # Shard 2 has a quarter of the history and two fifths of the TVs.
    assert back.highest(0.1) == pytest.approx(0.1 * 0.4 / 0.25)
    assert back.lowest(0.1) == pytest.approx(0.1 * 0.6 / 0.75)


def test_a_shard_that_was_never_heard_may_name_anything():
    past = {1: ShardHistory(60.0, 0.0, False), 2: ShardHistory(0.0, 2.0, True)}

    first_time = composition(past, {1: 30, 2: 20})

    assert first_time.highest(0.0) == pytest.approx(0.4)


def test_a_new_shard_is_no_change_of_composition():
    grown = composition(WHOLE, {1: 30, 2: 20, 3: 50})

    assert grown.highest(0.2) == 0.2
    assert grown.next_history(0.5)[3] == ShardHistory(50.0, 0.0, False)


def test_rounds_that_were_missed_are_remembered_and_decay():
    missed = composition(WHOLE, {1: 30}, absent=[2]).next_history(0.5)
    back = composition(missed, {1: 30, 2: 20}).next_history(0.5)

    assert missed == {
        1: ShardHistory(60.0, 0.0, False),
        2: ShardHistory(20.0, 1.0, True),
    }
    assert back[2] == ShardHistory(30.0, 0.5, False)


def test_after_enough_rounds_a_shard_counts_as_if_it_had_never_been_away():
    histories = composition(WHOLE, {1: 30}, absent=[2]).next_history(0.5)
    for _ in range(12):
        histories = composition(histories, {1: 30, 2: 20}).next_history(0.5)

    assert histories[2].missed_rounds == 0


def test_a_removed_shard_is_forgotten_and_an_absent_one_is_not():
    histories = {
        1: ShardHistory(60.0, 0.0, False),
        2: ShardHistory(0.01, 9.0, True),
        3: ShardHistory(0.01, 9.0, True),
    }

    assert set(without_removed(histories, installed=[1, 2])) == {1, 2}

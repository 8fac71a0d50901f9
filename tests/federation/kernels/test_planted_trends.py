"""What was planted is found, and nothing else is, whatever shard is missing."""

from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import GLOBAL_REGION, ItemHistory
from federation.kernels.composition import Composition
from federation.kernels.season import Season
from tests.federation.kernels.trending import (
    MIN_DEVICES,
    Planted,
    Rounds,
    World,
    plant,
)

LONER = 0  # its tastes are its own, and two fifths of all TVs are on it
ORDINARY = 3
SEEDS = range(4)


def found_and_planted():
    """Over some seeds, at the second round: what was found, and what should be."""
    risen, faded, planted_risen, planted_faded = set(), set(), set(), set()
    for seed in SEEDS:
        planted = plant(3)
        world = World(seed, planted=planted)
        rounds = Rounds().next(world.blocks(1)).next(world.blocks(2))
        risen |= {(seed, *each) for each in rounds.risen()}
        faded |= {(seed, *each) for each in rounds.faded()}
        planted_risen |= {(seed, *each) for each in planted.new | planted.rising}
        planted_faded |= {(seed, *each) for each in planted.fading}
    return risen, faded, planted_risen, planted_faded


def precision_and_recall(found, planted):
    """All that rises in a region may show in the whole fleet, too."""
    anywhere = {(seed, item) for seed, _, item in planted}
    regional = {each for each in found if each[1] != GLOBAL_REGION}
    everywhere = {each for each in found if each[1] == GLOBAL_REGION}
    right = len(regional & planted)
    right_everywhere = sum((seed, item) in anywhere for seed, _, item in everywhere)
    return (right + right_everywhere) / len(found), right / len(planted)


def test_planted_trends_are_found_at_the_second_round_and_no_others():
    risen, faded, planted_risen, planted_faded = found_and_planted()

    precision, recall = precision_and_recall(risen, planted_risen)
    assert precision >= 0.95
    assert recall >= 0.95
    precision, recall = precision_and_recall(faded, planted_faded)
    assert precision >= 0.95
    assert recall >= 0.9


def test_what_is_new_is_told_from_what_was_there():
    planted = Planted(new={("eu", "pilot")}, rising={("eu", "sequel")})
    world = World(7, planted=planted)

    rounds = Rounds().next(world.blocks(1)).next(world.blocks(2))

    kinds = {trend.item: trend.kind for trend in rounds.trends if trend.region == "eu"}
    assert (kinds["pilot"], kinds["sequel"], kinds["tt000"]) == (
        "new",
        "rising",
        "steady",
    )


def played(world, *, missing, missing_in, bulk_in=None, n_rounds=6):
    """What is new, rising or fading in each round, with a shard that misses some."""
    rounds, stood_out = Rounds(), []
    for number in range(1, n_rounds + 1):
        blocks = world.blocks(number, bulk=(missing,) if number == bulk_in else ())
        rounds.next(blocks, missing=(missing,) if number in missing_in else ())
        stood_out.append(sorted(rounds.risen() | rounds.faded()))
    return stood_out


@pytest.mark.parametrize(
    ("missing", "missing_in", "bulk_in"),
    [
        pytest.param(LONER, (3, 4), None, id="tastes of its own"),
        pytest.param(LONER, (1, 2), None, id="never seen before"),
        pytest.param(LONER, (3, 4), 5, id="back with the news of three rounds"),
        pytest.param(ORDINARY, (2, 3), 4, id="like the others"),
    ],
)
def test_a_shard_that_misses_two_rounds_makes_no_trend_anywhere(
    missing, missing_in, bulk_in
):
    world = World(1, contrast=1.0)

    stood_out = played(world, missing=missing, missing_in=missing_in, bulk_in=bulk_in)

    assert stood_out == [[]] * 6


def test_whoever_does_not_know_that_a_shard_is_missing_sees_trends():
    """So the test above is one that could fail."""
    world = World(1, contrast=1.0)
    rounds, stood_out = Rounds(), []
    for number in range(1, 6):
        blocks = world.blocks(number, bulk=(LONER,) if number == 5 else ())
        rounds.next(blocks, missing=(LONER,) if number in (3, 4) else ())
        rounds.shard_history = {}
        stood_out.append(len(rounds.risen() | rounds.faded()))

    assert stood_out[2] > 0
    assert stood_out[4] > 0


def test_what_rises_while_a_shard_is_missing_is_found():
    planted = Planted(changes_in_round=3, new={("eu", "pilot"), ("us", "derby")})
    world = World(2, contrast=1.0, planted=planted)
    rounds = Rounds().next(world.blocks(1)).next(world.blocks(2))

    rounds.next(world.blocks(3), missing=(LONER,))

    assert planted.new <= rounds.risen()


def test_the_hours_of_the_day_are_known_after_one_day(rng):
    """Rates swing by four fifths over 24 rounds, each item's at its own hour."""
    n_items, n_reporters = 100, 20_000
    rates = 0.5 / np.arange(1, n_items + 1) ** 0.8
    phases = rng.uniform(0, 2 * np.pi, n_items)
    past: dict[str, ItemHistory] = {}
    stood_out = []
    for hour in range(72):
        swing = 1 + 0.8 * np.sin(2 * np.pi * hour / 24 + phases)
        counts = rng.binomial(n_reporters, rates * swing)
        named = {f"tt{i}": count for i, count in enumerate(counts.tolist())}
        season = Season(
            named,
            n_reporters,
            past,
            composition=Composition({}, {}, (), rounds=0),
            min_devices=MIN_DEVICES,
        )
        kinds = [season.judge(item).kind for item in named]
        stood_out.append(sum(kind != "steady" for kind in kinds))
        past = season.next_history(0.95)

    assert sum(stood_out[:24]) > 0
    assert sum(stood_out[24:]) == 0


def test_nothing_is_shown_that_too_few_tvs_named():
    world = World(4, planted=plant(2))

    rounds = Rounds().next(world.blocks(1)).next(world.blocks(2))

    assert min(trend.device_count for trend in rounds.trends) >= MIN_DEVICES
    counts = {trend.device_count for trend in rounds.fading}
    assert all(count == 0 or count >= MIN_DEVICES for count in counts)

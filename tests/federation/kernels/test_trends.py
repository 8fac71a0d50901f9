from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import (
    ItemHistory,
    KernelInputError,
    SparseCounts,
    find_trends,
)
from federation.kernels.sparse import CountsBuilder


def table(counts_by_region) -> SparseCounts:
    regions = sorted(counts_by_region)
    items = sorted({item for counts in counts_by_region.values() for item in counts})
    builder = CountsBuilder()
    for row, region in enumerate(regions):
        for item, count in counts_by_region[region].items():
            builder.add(*(np.array([n]) for n in (row, items.index(item), count)))
    return builder.counts(row_names=regions, column_names=items)


class Rounds:
    """Rounds one after the other, each held against those before."""

    def __init__(self, min_devices=10):
        self.history, self.trends = {}, []
        self._min_devices = min_devices

    def next(self, reporters, counts, decay=0.95, per_region=50):
        outcome = find_trends(
            table(counts),
            reporters,
            history=self.history,
            previous=self.trends,
            decay=decay,
            min_devices=self._min_devices,
            per_region=per_region,
        )
        self.history, self.trends = outcome.history, outcome.trends
        return self

    def items(self, region):
        return [trend.item for trend in self.trends if trend.region == region]

    def score(self, region, item):
        return next(
            (t.score for t in self.trends if (t.region, t.item) == (region, item)), None
        )


def catalogue(rng, n_reporters, n_items=60):
    """A long tail of steady items, with the wobble of chance."""
    rates = 0.3 / np.arange(1, n_items + 1) ** 0.7
    return {
        f"tt{item:02}": int(count)
        for item, count in enumerate(rng.binomial(n_reporters, rates))
        if count
    }


def test_the_first_round_ranks_by_rate():
    rounds = Rounds().next({"eu": 100}, {"eu": {"tt1": 40, "tt2": 70, "tt3": 9}})

    assert rounds.items("eu") == ["tt2", "tt1"]
    assert rounds.score("eu", "tt2") == 0.7


@pytest.mark.parametrize("n_reporters", [150, 1000, 100_000])
def test_a_rising_item_is_first_and_a_popular_one_is_not(rng, n_reporters):
    rounds = Rounds()
    rounds.next({"eu": n_reporters}, {"eu": catalogue(rng, n_reporters)})

    counts = catalogue(rng, n_reporters) | {"rising": n_reporters // 5}
    rounds.next({"eu": n_reporters}, {"eu": counts})

    assert rounds.items("eu")[0] == "rising"
    assert rounds.score("eu", "rising") > 0.25 > rounds.score("eu", "tt00")


def test_nothing_rises_in_a_steady_fleet(rng):
    rounds = Rounds()
    for _ in range(10):
        rounds.next({"eu": 2000}, {"eu": catalogue(rng, 2000)})

        if len(rounds.history) and rounds.trends[0].usual_rate:
            assert max(t.score for t in rounds.trends) < 0.25


def test_the_larger_rise_scores_higher(rng):
    rounds = Rounds()
    rounds.next({"eu": 1000}, {"eu": catalogue(rng, 1000) | {"a": 50, "b": 50}})

    rounds.next({"eu": 1000}, {"eu": catalogue(rng, 1000) | {"a": 150, "b": 400}})

    assert rounds.items("eu")[:2] == ["b", "a"]


def test_what_stays_up_stops_trending(rng):
    rounds = Rounds()
    rounds.next({"eu": 1000}, {"eu": catalogue(rng, 1000)})
    scores = []
    for _ in range(40):
        rounds.next({"eu": 1000}, {"eu": catalogue(rng, 1000) | {"hit": 300}})
        scores.append(rounds.score("eu", "hit"))

    assert scores[0] > 0.25 > scores[-1]
    assert scores == sorted(scores, reverse=True)


def test_a_region_with_half_its_tvs_missing_shows_no_collapse_and_no_rise(rng):
    rounds = Rounds()
    for _ in range(3):
        rounds.next({"eu": 4000}, {"eu": catalogue(rng, 4000)})

    rounds.next({"eu": 2000}, {"eu": catalogue(rng, 2000)})

    assert all(trend.score < 0.25 for trend in rounds.trends)
    rates = {t.item: (t.rate, t.usual_rate) for t in rounds.trends if t.region == "eu"}
    assert rates["tt00"][0] == pytest.approx(rates["tt00"][1], abs=0.05)


def test_a_talkative_round_is_not_a_rise_of_everything(rng):
    """TVs report three times as many contents; what they like has not changed."""
    usual = catalogue(rng, 3000)
    rounds = Rounds().next({"eu": 3000}, {"eu": usual})

    rounds.next({"eu": 3000}, {"eu": {item: 3 * n for item, n in usual.items()}})

    assert all(trend.score < 0.25 for trend in rounds.trends)


def test_a_silent_region_keeps_its_trends_and_its_history(rng):
    rounds = Rounds()
    both = {"eu": catalogue(rng, 500), "us": catalogue(rng, 500)}
    rounds.next({"eu": 500, "us": 500}, both)
    trends = [trend for trend in rounds.trends if trend.region == "us"]
    history = {key: each for key, each in rounds.history.items() if key[0] == "us"}

    rounds.next({"eu": 500}, {"eu": catalogue(rng, 500)})

    assert [trend for trend in rounds.trends if trend.region == "us"] == trends
    assert {k: v for k, v in rounds.history.items() if k[0] == "us"} == history


def test_global_is_all_tvs_together(rng):
    counts = {"eu": {"tt1": 20}, "us": {"tt1": 10}, "global": {"tt1": 6}}

    rounds = Rounds().next({"eu": 100, "us": 50, "global": 50}, counts)

    trend = next(trend for trend in rounds.trends if trend.region == "global")
    assert (trend.device_count, trend.rate) == (36, 36 / 200)
    assert rounds.items("us") == ["tt1"]


def test_too_few_tvs_are_no_trend(rng):
    rounds = Rounds(min_devices=50).next({"eu": 1000}, {"eu": catalogue(rng, 1000)})

    rounds.next({"eu": 1000}, {"eu": catalogue(rng, 1000) | {"rising": 49}})

    assert "rising" not in rounds.items("eu")
    assert min(trend.device_count for trend in rounds.trends) >= 50


def test_history_is_the_decayed_mean():
    rounds = Rounds()
    for count in (50, 10, 30):
        rounds.next({"eu": 100}, {"eu": {"tt1": count}}, decay=0.5)

    # (0.25 * 0.5 + 0.5 * 0.1 + 1 * 0.3) / 1.75
    assert rounds.history["eu", "tt1"].mean_rate == pytest.approx(0.475 / 1.75)
    assert rounds.history["eu", "tt1"].effective_rounds == 1.75


def test_an_item_not_named_this_round_fades():
    rounds = Rounds().next({"eu": 100}, {"eu": {"tt1": 50, "tt2": 50}}, decay=0.5)

    rounds.next({"eu": 100}, {"eu": {"tt2": 50}}, decay=0.5)

    assert rounds.history["eu", "tt1"].mean_rate == pytest.approx(0.25 / 1.5)


def test_what_nobody_names_any_more_is_forgotten():
    rounds = Rounds().next({"eu": 100}, {"eu": {"tt1": 50, "tt2": 50}})
    for _ in range(300):
        rounds.next({"eu": 100}, {"eu": {"tt2": 50}})

    assert set(rounds.history) == {("eu", "tt2"), ("global", "tt2")}


def test_a_known_region_knows_what_is_new(rng):
    """An item without history was at rate 0 for as long as the region is known."""
    rounds = Rounds()
    for _ in range(3):
        rounds.next({"eu": 1000}, {"eu": {"tt1": 300}})

    rounds.next({"eu": 1000}, {"eu": {"tt1": 300, "new": 100}})

    assert rounds.items("eu") == ["new", "tt1"]
    assert (
        rounds.history["eu", "new"].effective_rounds
        == rounds.history["eu", "tt1"].effective_rounds
    )


def test_scores_lie_between_zero_and_one(rng):
    rounds = Rounds(min_devices=1)
    for share in (0.0, 1.0, 0.5, 1.0):
        counts = catalogue(rng, 200) | {"all": 200, "some": int(200 * share) or 1}
        rounds.next({"eu": 200}, {"eu": counts})

        assert all(0 <= trend.score <= 1 for trend in rounds.trends)


def test_a_region_gets_at_most_its_share(rng):
    rounds = Rounds().next({"eu": 1000}, {"eu": catalogue(rng, 1000)}, per_region=7)

    assert len(rounds.items("eu")) == len(rounds.items("global")) == 7


def test_a_fleet_of_nobody_has_no_trends():
    rounds = Rounds().next({}, {})

    assert rounds.trends == []
    assert rounds.history == {}


def test_history_given_is_left_alone():
    history = {
        ("eu", "tt1"): ItemHistory(0.3, effective_rounds=2.0, effective_reporters=200.0)
    }
    before = dict(history)

    find_trends(
        table({"eu": {"tt1": 30}}),
        {"eu": 100},
        history=history,
        decay=0.95,
        min_devices=5,
    )

    assert history == before


@pytest.mark.parametrize("decay", [0, 1, -0.5])
def test_decay_lies_between_zero_and_one(decay):
    with pytest.raises(KernelInputError, match="expected between 0 and 1"):
        find_trends(table({}), {}, history={}, decay=decay, min_devices=5)


def test_others_than_usual_reporting_makes_nothing_rise(rng):
    """Most of what is usual comes from TVs that are silent this round."""
    rounds = Rounds(min_devices=2)
    usual = catalogue(rng, 1_000)
    rounds.next({"eu": 1_000}, {"eu": usual})
    few = {item: count // 25 for item, count in list(usual.items())[::6]}

    rounds.next({"eu": 40}, {"eu": few})

    assert [t.item for t in rounds.trends if t.score > 0.25] == []


def counted(counts, min_devices):
    """What a round gets to see: names of fewer TVs aren't counted."""
    return {item: count for item, count in counts.items() if count >= min_devices}


def test_what_was_too_rare_to_be_counted_does_not_rise_when_it_is(rng):
    rounds = Rounds(min_devices=50)
    for count in (49, 48, 49):
        counts = catalogue(rng, 1000) | {"steady": count}
        rounds.next({"eu": 1000}, {"eu": counted(counts, 50)})

    rounds.next(
        {"eu": 1000}, {"eu": counted(catalogue(rng, 1000), 50) | {"steady": 52}}
    )

    assert rounds.score("eu", "steady") < 0.25


def test_a_fleet_that_grows_does_not_find_everything_rising(rng):
    rounds = Rounds(min_devices=5)
    for n_reporters in (12, 120, 500, 500, 500):
        counts = counted(catalogue(rng, n_reporters), 5)
        rounds.next({"eu": n_reporters}, {"eu": counts})
        is_first = n_reporters == 12

        assert is_first or [t.item for t in rounds.trends if t.score > 0.25] == []


def test_a_rise_is_found_two_rounds_after_a_small_beginning(rng):
    rounds = Rounds(min_devices=5)
    for n_reporters in (12, 500):
        counts = counted(catalogue(rng, n_reporters), 5)
        rounds.next({"eu": n_reporters}, {"eu": counts})

    counts = counted(catalogue(rng, 500), 5) | {"rising": 60}
    rounds.next({"eu": 500}, {"eu": counts})

    assert rounds.items("eu")[0] == "rising"
    assert rounds.score("eu", "rising") > 0.25


def test_a_round_of_few_tvs_says_little():
    rounds = Rounds().next({"eu": 1000}, {"eu": {"tt1": 300}})

    rounds.next({"eu": 10}, {"eu": {"tt1": 10}})

    history = rounds.history["eu", "tt1"]
    assert history.mean_rate == pytest.approx((0.95 * 300 + 10) / (0.95 * 1000 + 10))
    assert history.effective_reporters == pytest.approx(0.95 * 1000 + 10)


def test_a_silent_region_keeps_no_trend_that_too_few_tvs_named():
    rounds = Rounds(min_devices=5).next({"eu": 100}, {"eu": {"tt1": 40, "tt2": 9}})

    raised = Rounds(min_devices=10)
    raised.history, raised.trends = rounds.history, rounds.trends
    raised.next({}, {})

    assert raised.items("eu") == raised.items("global") == ["tt1"]


def test_a_nearly_silent_region_keeps_its_trends_and_its_history(rng):
    rounds = Rounds(min_devices=10).next({"eu": 500}, {"eu": catalogue(rng, 500)})
    trends, history = rounds.trends, rounds.history

    rounds.next({"eu": 9}, {"eu": {"tt00": 9, "tt59": 3}})

    assert rounds.trends == trends
    assert rounds.history == history


def test_a_region_of_few_tvs_leaves_no_history():
    rounds = Rounds(min_devices=10)

    rounds.next({"eu": 100, "villa": 1}, {"eu": {"tt1": 40}, "villa": {"tt2": 1}})

    assert {region for region, _ in rounds.history} == {"eu", "global"}


def test_a_short_round_keeps_the_trends_that_it_cannot_judge():
    rounds = Rounds()
    rounds.next({"eu": 500}, {"eu": {"hit": 300, "tt1": 60, "tt2": 55}})

    rounds.next({"eu": 40}, {"eu": {"hit": 24}})

    assert rounds.items("eu") == ["hit", "tt1", "tt2"]
    assert rounds.score("eu", "tt1") == pytest.approx(0.95 * 60 / 500)


def test_what_a_round_could_have_shown_and_did_not_is_no_trend_any_more():
    rounds = Rounds()
    rounds.next({"eu": 500}, {"eu": {"hit": 300, "tt1": 60}})

    rounds.next({"eu": 200}, {"eu": {"hit": 120}})

    assert rounds.items("eu") == ["hit"]


def test_what_is_kept_stands_below_what_rises(rng):
    rounds = Rounds()
    rounds.next({"eu": 1_000}, {"eu": catalogue(rng, 1_000)})

    rounds.next({"eu": 30}, {"eu": {"rising": 25, "tt00": 10}})

    assert rounds.items("eu")[0] == "rising"
    of_eu = [trend for trend in rounds.trends if trend.region == "eu"]
    assert all(trend.score <= 0.25 for trend in of_eu[1:])

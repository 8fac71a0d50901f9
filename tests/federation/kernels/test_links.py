from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from federation.kernels import (
    LINKS_PER_CONTENT,
    ItemCounter,
    KernelInputError,
    PairCollector,
    link_contents,
    merge_pairs,
    plan_pairs,
)
from federation.kernels.regression import NEIGHBOURS, RIDGE_PER_DEVICE
from tests.federation.kernels.planting import SEED, block_of, cut, dealt, nothing


def plan_for(*blocks, min_devices=1, contents_per_tv=32, **options):
    counter = ItemCounter(seed=SEED, contents_per_tv=contents_per_tv)
    for block in blocks:
        counter.add(block)
    return plan_pairs(
        counter.census(),
        min_devices=min_devices,
        contents_per_tv=contents_per_tv,
        **options,
    )


def count(plan, *blocks):
    collector = PairCollector(plan)
    for block in blocks:
        collector.add(block)
    return collector.counts()


def watching(rng, *contents):
    """One TV for each list of contents."""
    return block_of(rng, [1] * len(contents), content_ids=list(contents))


def baskets(block):
    named: list[set[str]] = [set() for _ in range(block.n_devices)]
    for device, contents in zip(
        block.device_index.tolist(), block.content_ids, strict=True
    ):
        named[device].update(contents)
    return named


def pair_dict(counts):
    pairs = counts.pairs
    return {
        (pairs.row_names[row], pairs.column_names[column]): n
        for row, column, n in zip(
            pairs.rows.tolist(),
            pairs.columns.tolist(),
            pairs.counts.tolist(),
            strict=True,
        )
    }


def naive_links(block, *, min_devices, per_content):
    """Solve each regression by itself, with what the formulas say and no more."""
    single: Counter[str] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    for basket in baskets(block):
        single.update(basket)
        both.update(combinations(sorted(basket), 2))
    chance = 2 * sum(both.values()) / sum(single.values()) ** 2

    def shared(one, other):
        known = both[min(one, other), max(one, other)]
        if known >= min_devices:
            return known
        return min(single[one] * single[other] * chance, min_devices - 1)

    found: dict[str, dict[str, float]] = {}
    for target in single:
        near = [c for c in single if {*(c, target)} in backed(both, min_devices)]
        near.sort(key=lambda c: (-(shared(c, target) ** 2) / single[c], c))
        near = near[:NEIGHBOURS]
        if not near:
            continue
        gram = [[shared(c, d) if c != d else single[c] for d in near] for c in near]
        ridge = RIDGE_PER_DEVICE * min_devices * np.eye(len(near))
        solved = np.linalg.solve(gram + ridge, [shared(c, target) for c in near])
        for content, coefficient in zip(near, solved.tolist(), strict=True):
            found.setdefault(content, {})[target] = coefficient

    largest = max(max(weights.values()) for weights in found.values())
    return {
        content: sorted((w / largest for w in weights.values() if w > 0), reverse=True)[
            :per_content
        ]
        for content, weights in found.items()
    }


def backed(both, min_devices):
    return [set(pair) for pair, n in both.items() if n >= min_devices]


def test_pairs_match_the_combinations(vega):
    counts = count(plan_for(vega), *cut(vega, 5))

    expected: Counter[tuple[str, str]] = Counter()
    for basket in baskets(vega):
        expected.update(combinations(sorted(basket), 2))
    assert pair_dict(counts) == expected


@pytest.mark.parametrize("min_devices", [2, 4])
def test_links_match_one_regression_after_the_other(vega, min_devices):
    counts = count(plan_for(vega), vega)

    links = link_contents(counts, min_devices=min_devices, per_content=5)

    expected = naive_links(vega, min_devices=min_devices, per_content=5)
    actual = links.by_content()
    assert actual.keys() == {
        content for content, weights in expected.items() if weights
    }
    for content, related in actual.items():
        # Rounding may order near equals differently; the weights are the same.
        weights = [weight for _, weight in related]
        assert weights == pytest.approx(expected[content], abs=1e-6)


@pytest.mark.parametrize("n_shards", [1, 3, 10])
@pytest.mark.parametrize("contents_per_tv", [3, 32])
def test_sharding_does_not_matter(vega, n_shards, contents_per_tv):
    plan = plan_for(vega, contents_per_tv=contents_per_tv, pair_budget=400)

    merged = merge_pairs([count(plan, *cut(p, 2)) for p in dealt(vega, n_shards)][::-1])

    assert pair_dict(merged) == pair_dict(count(plan, vega))
    assert merged.contents.row_dict(0) == count(plan, vega).contents.row_dict(0)


def test_a_pair_needs_enough_tvs(rng):
    block = watching(rng, *[["a", "b"]] * 5, *[["a", "c"]] * 4)

    links = link_contents(count(plan_for(block), block), min_devices=5)

    assert links.by_content().keys() == {"a", "b"}
    assert links.device_counts.tolist() == [5, 5]


def test_contents_with_too_few_tvs_are_not_paired(rng):
    block = watching(rng, *[["a", "b"]] * 5, ["a", "b", "rare"])

    counts = count(plan_for(block, min_devices=5), block)

    assert pair_dict(counts) == {("a", "b"): 6}


def test_a_pair_counts_once_a_tv(rng):
    block = block_of(rng, [3], content_ids=[["a", "b"], ["b", "a", "a"], ["a"]])

    assert pair_dict(count(plan_for(block), block)) == {("a", "b"): 1}


def test_popular_contents_are_not_related_to_everything(rng):
    # "hit" is seen by all, "b" only with "a".
    block = watching(rng, *[["a", "b", "hit"]] * 10, *[["hit", "c"]] * 90)

    links = link_contents(count(plan_for(block), block), min_devices=5).by_content()

    assert [content for content, _ in links["a"]] == ["b", "hit"]
    assert links["a"][0][1] > 1.5 * dict(links["hit"])["b"]


def test_what_a_third_content_explains_is_no_link(rng):
    # Whoever has "b" has it for "a", and so has whoever has "c".
    block = watching(
        rng, *[["a", "b", "c"]] * 50, *[["a", "b"]] * 450, *[["a", "c"]] * 450
    )

    links = link_contents(count(plan_for(block), block), min_devices=5).by_content()

    assert links["b"][0][0] == "a"
    assert links["c"][0][0] == "a"
    assert "c" not in dict(links["b"])
    assert "b" not in dict(links["c"])


def test_a_content_has_so_many_links_at_most(rng):
    block = watching(rng, *[[f"tt{n:02}" for n in range(30)]] * 5)

    links = link_contents(count(plan_for(block), block), min_devices=5)

    table = links.by_content()
    assert {len(related) for related in table.values()} == {LINKS_PER_CONTENT}
    # All weights are equal: the alphabet decides.
    assert [content for content, _ in table["tt00"]][:2] == ["tt01", "tt02"]


def test_a_tv_that_names_too_many_is_cut_down(rng):
    block = watching(rng, [f"tt{n}" for n in range(50)])

    counts = count(plan_for(block, contents_per_tv=6), block)

    assert len(counts.pairs) == 6 * 5 / 2


def test_a_large_fleet_is_sampled_by_tv(rng):
    block = watching(rng, *[["a", "b"]] * 2000)
    plan = plan_for(block, pair_budget=500)

    sampled = pair_dict(count(plan, block))["a", "b"]

    assert 400 < sampled < 600  # a quarter, within five deviations


def test_a_sampled_pair_still_needs_enough_tvs(rng):
    block = watching(rng, *[["a", "b"]] * 60)
    plan = plan_for(block, pair_budget=30)
    counts = count(plan, block)

    assert pair_dict(counts)["a", "b"] < 50
    assert len(link_contents(counts, min_devices=50)) == 0


@pytest.mark.parametrize("min_devices", [2, 5])
def test_the_largest_weight_is_one_and_none_is_zero(vega, min_devices):
    counts = count(plan_for(vega), vega)

    links = link_contents(counts, min_devices=min_devices)

    assert links.weights.dtype == np.float32
    assert 0 < links.weights.min() <= links.weights.max() == 1


def test_counts_that_no_fleet_can_have_give_weights_all_the_same(rng):
    """Noise may leave more TVs with both contents than with one of them."""
    block = watching(rng, *[["a", "b", "c"]] * 50, *[["b", "c", "d"]] * 50)
    counts = count(plan_for(block), block)
    noisy = replace(
        counts, contents=replace(counts.contents, counts=np.array([1, 1, 1, 1]))
    )

    links = link_contents(noisy, min_devices=2)

    assert links.by_content().keys() == {"a", "b", "c", "d"}
    assert np.isfinite(links.weights).all()


def test_nothing_links_nothing():
    counts = count(plan_for(nothing()), nothing())

    assert len(link_contents(merge_pairs([counts, counts]), min_devices=1)) == 0


def test_single_contents_make_no_pair(rng):
    block = watching(rng, ["a"], ["b"])

    assert pair_dict(count(plan_for(block), block)) == {}


def test_one_content_a_tv_is_refused(rng):
    with pytest.raises(KernelInputError, match="1 contents a TV make no pair"):
        plan_for(nothing(), contents_per_tv=1)

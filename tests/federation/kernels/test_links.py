from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from federation.kernels import (
    ItemCounter,
    KernelInputError,
    PairCollector,
    link_contents,
    merge_pairs,
    plan_pairs,
)
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


def naive_links(block, *, min_devices, per_content, exponent):
    single: Counter[str] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    for basket in baskets(block):
        single.update(basket)
        both.update(combinations(sorted(basket), 2))
    related: dict[str, list[tuple[str, float]]] = {}
    for (one, other), n in both.items():
        if n >= min_devices:
            weight = n / (single[one] * single[other]) ** exponent
            related.setdefault(one, []).append((other, weight))
            related.setdefault(other, []).append((one, weight))
    return {
        content: sorted(links, key=lambda link: (-link[1], link[0]))[:per_content]
        for content, links in related.items()
    }


def test_pairs_match_the_combinations(vega):
    counts = count(plan_for(vega), *cut(vega, 5))

    expected: Counter[tuple[str, str]] = Counter()
    for basket in baskets(vega):
        expected.update(combinations(sorted(basket), 2))
    assert pair_dict(counts) == expected


@pytest.mark.parametrize("exponent", [0.5, 0.7])
def test_links_match_the_combinations(vega, exponent):
    counts = count(plan_for(vega), vega)

    links = link_contents(
        counts, min_devices=4, per_content=5, popularity_exponent=exponent
    )

    expected = naive_links(vega, min_devices=4, per_content=5, exponent=exponent)
    actual = links.by_content()
    assert actual.keys() == expected.keys()
    for content, related in expected.items():
        # Rounding may order near equals differently; the weights are the same.
        weights = [weight for _, weight in actual[content]]
        assert weights == pytest.approx([w for _, w in related], abs=1e-6)


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
    assert links["a"][0][1] == 1
    assert links["a"][1][1] == pytest.approx(10 / np.sqrt(10 * 100), abs=1e-6)


def test_a_content_has_so_many_links_at_most(rng):
    block = watching(rng, *[[f"tt{n:02}" for n in range(20)]] * 5)

    links = link_contents(count(plan_for(block), block), min_devices=5)

    table = links.by_content()
    assert {len(related) for related in table.values()} == {10}
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


def test_weights_stay_within_one(vega):
    counts = count(plan_for(vega), vega)

    for exponent in (0.0, 0.3, 0.5, 1.0):
        links = link_contents(counts, min_devices=2, popularity_exponent=exponent)

        assert links.weights.dtype == np.float32
        assert 0 < links.weights.min() <= links.weights.max() <= 1


def test_nothing_links_nothing():
    counts = count(plan_for(nothing()), nothing())

    assert len(link_contents(merge_pairs([counts, counts]), min_devices=1)) == 0


def test_single_contents_make_no_pair(rng):
    block = watching(rng, ["a"], ["b"])

    assert pair_dict(count(plan_for(block), block)) == {}


def test_one_content_a_tv_is_refused(rng):
    with pytest.raises(KernelInputError, match="1 contents a TV make no pair"):
        plan_for(nothing(), contents_per_tv=1)

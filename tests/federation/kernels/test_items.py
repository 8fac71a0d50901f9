from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from federation.kernels import ItemCounter, KernelInputError, items, merge_censuses
from federation.kernels.items import Vocabulary, choose_per_device
from tests.federation.kernels.planting import SEED, block_of, cut, dealt, nothing


def census_of(*blocks, seed=SEED, contents_per_tv=32):
    counter = ItemCounter(seed=seed, contents_per_tv=contents_per_tv)
    for block in blocks:
        counter.add(block)
    return counter.census()


def devices_by_content(block):
    named = {
        (device, content)
        for device, contents in zip(
            block.device_index.tolist(), block.content_ids, strict=True
        )
        for content in contents
    }
    return Counter(content for _, content in named)


def test_allows_what_enough_tvs_named(vega):
    counts = devices_by_content(vega)
    limit = sorted(counts.values())[len(counts) // 2]

    names = census_of(vega).filter(min_devices=limit)

    # Thirty names do not collide in four million buckets.
    assert set(np.array([*counts])[names.allows_contents([*counts])].tolist()) == {
        c for c, count in counts.items() if count >= limit
    }


def test_a_name_counts_once_a_tv(rng):
    block = block_of(rng, [4], content_ids=[["tt1", "tt1"]] * 4, genres=[["jazz"]] * 4)

    census = census_of(block)

    assert census.buckets.sum() == 2
    assert not census.filter(min_devices=2).allows_contents(["tt1"]).any()


def test_genres_are_not_contents(rng):
    block = block_of(rng, [1] * 3, content_ids=[["jazz"]] * 3, genres=[["crime"]] * 3)

    names = census_of(block).filter(min_devices=3)

    assert names.allows_contents(["jazz"]).all()
    assert names.allows_genres(["crime"]).all()
    assert not names.allows_genres(["jazz"]).any()
    assert not names.allows_contents(["crime"]).any()


def test_a_content_cannot_pass_for_a_genre(rng):
    block = block_of(rng, [1] * 3, content_ids=[["genre:crime"]] * 3)

    assert (
        not census_of(block)
        .filter(min_devices=1)
        .allows_contents(["genre:crime"])
        .any()
    )


@pytest.mark.parametrize("n_shards", [1, 3, 10])
def test_sharding_does_not_matter(vega, n_shards):
    merged = merge_censuses([census_of(*cut(s, 2)) for s in dealt(vega, n_shards)])

    expected = census_of(vega)
    assert np.array_equal(merged.buckets, expected.buckets)
    assert merged.n_content_pairs == expected.n_content_pairs


def test_counts_the_pairs_there_will_be(rng):
    # 3 contents make 3 pairs; 5 capped at 4 make 6; 1 makes none.
    contents = [["a", "b", "c"], ["a", "b", "c", "d", "e"], ["a"]]
    block = block_of(rng, [1, 1, 1], content_ids=contents)

    assert census_of(block, contents_per_tv=4).n_content_pairs == 3 + 6


def test_junk_names_do_not_grow_the_census(rng):
    junk = [[f"junk-{row}-{n}" for n in range(8)] for row in range(500)]
    block = block_of(rng, [1] * 500, content_ids=junk, genres=[[]] * 500)

    census = census_of(block)

    assert census.buckets.nbytes == census_of(nothing()).buckets.nbytes
    assert census.filter(min_devices=3).is_open.sum() == 0


def test_a_tv_that_names_everything_counts_for_some_of_it(rng):
    many = [[f"tt{row}-{n}" for n in range(8)] for row in range(100)]
    block = block_of(rng, [100], content_ids=many, genres=[[]] * 100)

    assert census_of(block).buckets.sum() == 256


def test_other_seeds_are_not_merged(vega):
    with pytest.raises(KernelInputError, match="one seed"):
        merge_censuses([census_of(vega), census_of(vega, seed=1)])


def test_refused_names_are_not_numbered():
    vocabulary = Vocabulary(lambda names: np.array([name != "junk" for name in names]))

    numbers = vocabulary.numbers(["a", "junk", "b", "a"])

    assert numbers.tolist() == [0, -1, 1, 0]
    assert vocabulary.names == ["a", "b"]


def test_choice_is_made_tv_by_tv(rng):
    block = block_of(rng, [1] * 40)
    devices = np.repeat(np.arange(40), 10)
    hashes = np.tile(rng.integers(0, 1 << 63, 10, dtype=np.uint64), 40)

    chosen = choose_per_device(block, devices, hashes, limit=4, seed=SEED)

    assert np.bincount(devices[chosen]).tolist() == [4] * 40
    # No item is passed over by everyone: 16 of 40 expected each.
    per_item = Counter(hashes[chosen].tolist())
    assert len(per_item) == 10
    assert min(per_item.values()) >= 6


def test_only_so_many_refused_names_are_remembered(monkeypatch):
    monkeypatch.setattr(items, "_REMEMBERED_NAMES", 3)
    asked: list[str] = []

    def are_wanted(names):
        asked.extend(names)
        return np.array([name.startswith("tt") for name in names], dtype=np.bool_)

    vocabulary = Vocabulary(are_wanted)
    rare = [f"rare {number}" for number in range(5)]

    first = vocabulary.numbers([*rare, "tt1", *rare, "tt2"])
    again = vocabulary.numbers([*rare, "tt2"])

    assert first.tolist() == [-1] * 5 + [0] + [-1] * 5 + [1]
    assert again.tolist() == [-1] * 5 + [1]
    # What was refused last was still known, what was refused first no longer.
    assert [asked.count(name) for name in rare] == [2, 2, 2, 1, 1]
    assert vocabulary.names == ["tt1", "tt2"]

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from federation.kernels import KernelInputError, PatternSampler, merge_samples
from federation.kernels.quantise import pattern_weights, to_fixed_point
from federation.kernels.sampling import hash_keys, hash_text
from tests.federation.kernels.planting import (
    SEED,
    block_of,
    cut,
    dealt,
    nothing,
    sample_of,
)


def same(one, other):
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(one)
    )


def test_matches_sorting_everything(vega):
    hashes = hash_keys(vega.pattern_keys, seed=SEED).tolist()
    ranked = sorted(range(len(vega)), key=lambda row: (hashes[row], row))[:40]

    sample = sample_of(vega, capacity=40)

    assert sample.hashes.tolist() == [hashes[row] for row in ranked]
    assert np.array_equal(sample.keys, vega.pattern_keys[ranked])
    assert np.array_equal(sample.vectors, to_fixed_point(vega.embeddings[ranked]))
    assert np.array_equal(sample.weights, pattern_weights(vega)[ranked])
    assert np.array_equal(sample.batches, vega.device_batch[vega.device_index[ranked]])


@pytest.mark.parametrize("capacity", [1, 17, 100, 10_000])
@pytest.mark.parametrize("n_shards", [1, 3, 10])
def test_sharding_does_not_matter(vega, capacity, n_shards):
    shards = [sample_of(part, capacity=capacity) for part in dealt(vega, n_shards)]

    assert same(merge_samples(shards[::-1]), sample_of(vega, capacity=capacity))


def test_order_and_size_of_blocks_do_not_matter(vega):
    expected = sample_of(vega, capacity=50)

    assert same(sample_of(*cut(vega, 60)[::-1], capacity=50), expected)


def test_equal_hashes_are_ordered_by_key(vega):
    sample = sample_of(vega)
    tied = replace(sample, hashes=np.zeros_like(sample.hashes))

    keys = merge_samples([tied]).keys

    assert [tuple(key) for key in keys] == sorted(tuple(key) for key in sample.keys)


def test_counts_what_it_was_taken_from(vega):
    sample = sample_of(vega, capacity=10)

    assert sample.n_patterns == len(vega)
    assert sample.n_devices == 60
    assert sample.fraction == 10 / len(vega)


def test_another_seed_takes_another_sample(vega):
    sampler = PatternSampler(capacity=20, seed=SEED + 1)
    sampler.add(vega)

    assert not np.array_equal(sampler.sample().keys, sample_of(vega, capacity=20).keys)


def test_tvs_are_numbered_by_their_id(rng):
    block = block_of(rng, [3, 1, 2])
    sample = sample_of(block)

    numbers = sample.device_numbers()

    owners = {tuple(key[:2]) for key in sample.keys}
    names = {owner: number for number, owner in enumerate(sorted(owners))}
    assert numbers.tolist() == [names[tuple(key[:2])] for key in sample.keys]


def test_nothing_makes_an_empty_sample():
    sample = sample_of(nothing())

    assert len(sample) == 0
    assert sample.fraction == 1
    assert sample.device_numbers().tolist() == []


def test_samples_of_two_capacities_are_not_merged(vega):
    with pytest.raises(KernelInputError, match=r"one capacity; found \[1, 2\]"):
        merge_samples([sample_of(vega, capacity=1), sample_of(vega, capacity=2)])


def test_a_sample_holds_at_least_one():
    with pytest.raises(KernelInputError, match="holds nothing"):
        PatternSampler(capacity=0, seed=SEED)


def test_hash_is_splitmix64():
    """The first output of SplitMix64 seeded with 0, as published."""
    no_words = np.zeros((1, 0), dtype=np.uint64)

    assert hash_keys(no_words, seed=0).tolist() == [0xE220A8397B1DCDAF]


def test_hashes_are_fixed_for_ever():
    keys = np.array([[1, 2, 3, 4]], dtype=np.uint64)

    assert hash_keys(keys, seed=SEED).tolist() == [0x81E40DF508F10BEB]
    assert hash_text("tt0133093", seed=SEED) == 0x4FB9405B81F6C866


def test_hashes_are_spread_evenly(rng):
    keys = np.arange(4 * 40_000, dtype=np.uint64).reshape(-1, 4)

    buckets = np.bincount((hash_keys(keys, seed=SEED) >> np.uint64(60)).astype(int))

    assert len(buckets) == 16
    assert np.all(np.abs(buckets - 2500) < 250)  # five deviations

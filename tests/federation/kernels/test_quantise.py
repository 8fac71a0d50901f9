from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import KernelInputError
from federation.kernels.quantise import (
    COMPONENT_ONE,
    SAMPLES_PER_DEVICE,
    WEIGHT_ONE,
    CodedCentroids,
    GroupSums,
    capped_samples,
    code_norms,
    pattern_weights,
    quantise,
    sums_by_group,
    to_fixed_point,
    unit_rows,
)
from tests.federation.kernels.planting import around, block_of, directions, nothing


def naive_nearest(codes, centroids):
    """Whole numbers throughout; the first of the best."""
    best = []
    centroid_codes = quantise(centroids).astype(np.int64)
    norms = np.sqrt((centroid_codes**2).sum(axis=1).astype(np.float64))
    inverse = (1 / norms).astype(np.float32)
    for code in codes.astype(np.int64):
        scores = [
            np.float32(int(code @ centroid)) * factor
            for centroid, factor in zip(centroid_codes, inverse, strict=True)
        ]
        best.append(max(range(len(scores)), key=lambda cell: (scores[cell], -cell)))
    return best


def test_codes_point_where_the_vector_does(rng):
    vectors = directions(rng, 200).astype(np.float32)

    codes = quantise(vectors)

    products = (vectors * codes).sum(axis=1) / code_norms(codes)
    assert products.min() > 0.99995


def test_nearest_matches_whole_number_arithmetic(rng):
    centroids = directions(rng, 40).astype(np.float32)
    codes = quantise(directions(rng, 60).astype(np.float32))

    cells, _ = CodedCentroids(centroids).nearest(codes)

    assert cells.tolist() == naive_nearest(codes, centroids)


def test_rows_cut_differently_give_the_same_bits(rng):
    coded = CodedCentroids(directions(rng, 300).astype(np.float32))
    codes = quantise(directions(rng, 500).astype(np.float32))

    whole = coded.scores(codes)

    for n_parts in (3, 50, 500):
        parts = [coded.scores(part) for part in np.array_split(codes, n_parts)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("count", [1, 2, 64, 65])
def test_few_rows_go_where_many_do(rng, count):
    coded = CodedCentroids(directions(rng, 300).astype(np.float32))
    codes = quantise(directions(rng, 500).astype(np.float32))
    cells, scores = coded.nearest(codes)

    few_cells, few_scores = coded.nearest(codes[:count])

    assert np.array_equal(few_cells, cells[:count])
    assert few_scores.tobytes() == scores[:count].tobytes()


def test_equal_centroids_go_to_the_lower_cell(rng):
    centre = directions(rng, 1).astype(np.float32)
    coded = CodedCentroids(np.repeat(centre, 5, axis=0))

    cells, _ = coded.nearest(quantise(around(rng, centre, cosine=0.9)))

    assert cells.tolist() == [0]


def test_length_of_a_centroid_does_not_matter(rng):
    centroids = directions(rng, 20).astype(np.float32)
    longer = centroids * np.float32(8)
    codes = quantise(directions(rng, 100).astype(np.float32))

    assert np.array_equal(
        CodedCentroids(centroids).nearest(codes)[0],
        CodedCentroids(longer).nearest(codes)[0],
    )


def test_without_centroids_there_is_no_cell(rng):
    cells, scores = CodedCentroids(np.zeros((0, 384), np.float32)).nearest(
        quantise(directions(rng, 3).astype(np.float32))
    )

    assert cells.tolist() == [-1, -1, -1]
    assert scores.tolist() == [0, 0, 0]


def test_vectors_too_wide_for_exact_products_are_refused():
    with pytest.raises(KernelInputError, match="no exact products"):
        CodedCentroids(np.zeros((1, 2000), dtype=np.float32))


def test_zero_vectors_stay_zero():
    zeros = np.zeros((2, 384), dtype=np.float32)

    assert not quantise(zeros).any()
    assert code_norms(quantise(zeros)).tolist() == [1, 1]
    assert not unit_rows(np.zeros((2, 384), dtype=np.int64)).any()


def test_sums_match_the_loop(rng):
    vectors = to_fixed_point(directions(rng, 9000).astype(np.float32))
    weights = rng.integers(0, WEIGHT_ONE, 9000)
    groups = rng.integers(0, 7, 9000)

    sums = sums_by_group(vectors, weights, groups, 8)

    expected = np.zeros((8, 384), dtype=np.int64)
    for vector, weight, group in zip(vectors, weights, groups, strict=True):
        expected[group] += vector.astype(np.int64) * weight
    assert np.array_equal(sums, expected)


def test_unit_rows_have_length_one_at_any_size(rng):
    small = rng.integers(-3, 4, (5, 384))
    large = small * (1 << 57)

    assert np.allclose(np.linalg.norm(unit_rows(large), axis=1), 1, atol=1e-6)
    assert np.array_equal(unit_rows(large), unit_rows(small))


def test_a_tv_never_weighs_more_than_one(vega):
    weights = pattern_weights(vega)

    totals = np.bincount(vega.device_index, weights)
    assert totals.max() <= WEIGHT_ONE
    assert totals.min() > 0.999 * WEIGHT_ONE


def test_weight_follows_what_the_tv_says_of_its_own_patterns(rng):
    block = block_of(
        rng,
        [3],
        success_rate=np.array([1, 1, 0.5], dtype=np.float32),
        sample_count=np.array([2, 1, 2]),
    )

    # evidence 2 + 1 + 1
    assert (pattern_weights(block) / WEIGHT_ONE).tolist() == [0.5, 0.25, 0.25]


def test_little_evidence_is_not_made_more(rng):
    block = block_of(
        rng,
        [1],
        success_rate=np.array([0.5], dtype=np.float32),
        sample_count=np.array([1]),
    )

    assert pattern_weights(block).tolist() == [WEIGHT_ONE // 2]


def test_the_largest_claims_do_not_overflow(rng):
    block = block_of(
        rng,
        [256],
        success_rate=np.ones(256, dtype=np.float32),
        sample_count=np.full(256, (1 << 31) - 1),
    )

    assert pattern_weights(block).tolist() == [WEIGHT_ONE // 256] * 256
    assert capped_samples(block).tolist() == [SAMPLES_PER_DEVICE // 256] * 256


def test_weights_do_not_depend_on_the_other_tvs(vega):
    alone = [vega.take_devices(np.array([device])) for device in range(vega.n_devices)]

    together = pattern_weights(vega)

    assert (
        together.tolist()
        == np.concatenate([pattern_weights(block) for block in alone]).tolist()
    )


def test_samples_below_the_cap_are_counted_as_they_are(rng):
    block = block_of(rng, [2], sample_count=np.array([3, 40]))

    assert capped_samples(block).tolist() == [3, 40]


def test_nothing_weighs_nothing():
    assert pattern_weights(nothing()).tolist() == []
    assert capped_samples(nothing()).tolist() == []


def test_inputs_are_left_alone(vega):
    before = vega.embeddings.copy(), vega.sample_count.copy()

    quantise(vega.embeddings)
    to_fixed_point(vega.embeddings)
    pattern_weights(vega)

    assert np.array_equal(vega.embeddings, before[0])
    assert np.array_equal(vega.sample_count, before[1])


@pytest.mark.parametrize("precision", [np.float16, np.float32])
def test_sums_of_blocks_are_those_of_all_rows(rng, precision):
    vectors = unit_rows(rng.integers(-1_000, 1_000, (700, 6))).astype(precision)
    weights = rng.integers(0, (1 << 16) + 1, 700)
    groups = np.where(rng.random(700) < 0.5, 3, rng.integers(0, 8, 700))

    sums = GroupSums(8, 6)
    for part in np.array_split(np.arange(700), [0, 10, 11, 400]):
        sums.add(vectors[part], weights[part], groups[part])

    expected = np.zeros((8, 6), dtype=np.int64)
    fixed = to_fixed_point(vectors.astype(np.float32))
    np.add.at(expected, groups, weights[:, np.newaxis] * fixed.astype(np.int64))
    assert np.array_equal(sums.sums(), expected)
    assert np.array_equal(sums_by_group(fixed, weights, groups, 8), expected)


def test_halves_are_rounded_to_even_and_what_lies_outside_is_pulled_in():
    steps = np.array([[0.5, 1.5, -0.5, 2.5, -1.5, 20_000, -20_000, 0.49]], np.float32)
    sums = GroupSums(1, steps.shape[1])

    sums.add(steps / np.float32(COMPONENT_ONE), np.array([1]), np.array([0]))

    assert sums.sums()[0].tolist() == [0, 2, 0, 2, -2, 16_384, -16_384, 0]


@pytest.mark.parametrize("group", [-1, 8])
def test_groups_that_are_none_are_refused(group):
    vectors = np.ones((1, 6), dtype=np.float32)
    weights, groups = np.array([1]), np.array([group])

    with pytest.raises(KernelInputError, match="0 to 7"):
        GroupSums(8, 6).add(vectors, weights, groups)
    with pytest.raises(KernelInputError, match="0 to 7"):
        sums_by_group(to_fixed_point(vectors), weights, groups, 8)


def test_a_group_without_weight_may_be_none():
    sums = GroupSums(8, 6)

    sums.add(np.ones((1, 6), np.float32), np.array([0]), np.array([-1]))

    assert not sums.sums().any()

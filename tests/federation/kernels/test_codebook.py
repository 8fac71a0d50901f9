"""Codes: what they mean, how well they describe, and that training keeps secrets."""

from __future__ import annotations

import numpy as np
import pytest

from federation.kernels import KernelInputError
from federation.kernels.codebook import (
    CENTROIDS,
    CODE_SIZES,
    GROUP_DIMENSIONS,
    GROUPS,
    STAGES,
    TURNED_DIMENSIONS,
    Codebook,
    codebook_of,
    cosines,
)
from federation.kernels.codebook_training import (
    make_up_patterns,
    spread_of,
    train_codebook,
)
from tests.federation.kernels.planting import around, directions

#: Every cell is as common as every other.
ONES = np.ones(40, np.float32)


@pytest.fixture(scope="module")
def planted():
    """40 cells, and 30 patterns about each, in a space that has some order."""
    rng = np.random.default_rng(5)
    # As real embeddings have it: few directions carry most of the variance.
    spectrum = np.diag(np.arange(1, 385) ** -0.7)
    cells = unit(rng.standard_normal((40, 384)) @ spectrum)
    nearest = np.repeat(np.arange(40), 30)
    noise = 0.5 * unit(rng.standard_normal((1200, 384)) @ spectrum)
    return cells, unit(cells[nearest] + noise), nearest


@pytest.fixture(scope="module")
def codebook(planted):
    cells, patterns, nearest = planted
    return train_codebook(
        cells, ONES, spread_of(patterns, cells, nearest, apart(patterns), min_devices=4)
    )


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def apart(patterns):
    """Each from another TV."""
    return np.arange(len(patterns))


def naive_decode(codebook, code):
    """Read one code as codebook.proto says, number by number."""
    turned = np.zeros(TURNED_DIMENSIONS)
    for stage in range(len(code) // GROUPS):
        for group in range(GROUPS):
            centroid = codebook.centroids[stage, group, code[stage * GROUPS + group]]
            columns = slice(group * GROUP_DIMENSIONS, (group + 1) * GROUP_DIMENSIONS)
            turned[columns] += codebook.centroid_scales[stage, group] * centroid
    basis = codebook.basis_scales[:, None] * codebook.basis.astype(np.float64)
    vector = codebook.mean + turned @ basis
    return vector / np.linalg.norm(vector)


def naive_encode(codebook, vector, n_bytes):
    basis = codebook.basis_scales[:, None] * codebook.basis.astype(np.float64)
    turned = basis @ (vector - codebook.mean)
    code = np.zeros(n_bytes, dtype=np.uint8)
    for place in range(n_bytes):
        stage, group = divmod(place, GROUPS)
        columns = slice(group * GROUP_DIMENSIONS, (group + 1) * GROUP_DIMENSIONS)
        scale = codebook.centroid_scales[stage, group]
        centroids = scale * codebook.centroids[stage, group].astype(np.float64)
        distances = ((centroids - turned[columns]) ** 2).sum(axis=1)
        code[place] = distances.argmin()
        turned[columns] -= centroids[code[place]]
    return code


# Reading and writing


@pytest.mark.parametrize("n_bytes", CODE_SIZES)
def test_reads_as_the_format_says(codebook, n_bytes):
    codes = np.random.default_rng(1).integers(0, 256, (7, n_bytes), dtype=np.uint8)

    read = codebook.decode(codes)

    assert read.dtype == np.float32
    expected = [naive_decode(codebook, code) for code in codes]
    np.testing.assert_allclose(read, expected, atol=1e-6)


@pytest.mark.parametrize("n_bytes", CODE_SIZES)
def test_writes_the_nearest_centroids(codebook, planted, n_bytes):
    _, patterns, _ = planted

    written = codebook.encode(patterns[:5], n_bytes)

    expected = [naive_encode(codebook, pattern, n_bytes) for pattern in patterns[:5]]
    np.testing.assert_array_equal(written, expected)


def test_a_shorter_code_is_the_beginning_of_a_longer_one(codebook, planted):
    _, patterns, _ = planted

    whole = codebook.encode(patterns[:20], CODE_SIZES[-1])

    for n_bytes in CODE_SIZES:
        np.testing.assert_array_equal(
            codebook.encode(patterns[:20], n_bytes), whole[:, :n_bytes]
        )


def test_no_vector_makes_no_code(codebook):
    nothing = np.zeros((0, 384), dtype=np.float32)

    assert codebook.encode(nothing, 16).shape == (0, 16)
    assert codebook.decode(np.zeros((0, 16), dtype=np.uint8)).shape == (0, 384)


@pytest.mark.parametrize("n_bytes", [0, 7, 12, 56])
def test_other_sizes_are_refused(codebook, n_bytes):
    with pytest.raises(KernelInputError, match="8, 16, 24, 32, 40, 48 bytes"):
        codebook.encode(np.zeros((1, 384), dtype=np.float32), n_bytes)


def test_codes_that_add_up_to_nothing_are_read_as_zero():
    nothing = Codebook(
        mean=np.zeros(384, dtype=np.float32),
        basis=np.zeros((TURNED_DIMENSIONS, 384), dtype=np.int8),
        basis_scales=np.ones(TURNED_DIMENSIONS, dtype=np.float32),
        centroids=np.zeros((STAGES, GROUPS, CENTROIDS, 32), dtype=np.int8),
        centroid_scales=np.ones((STAGES, GROUPS), dtype=np.float32),
    )

    read = nothing.decode(np.zeros((2, 16), dtype=np.uint8))

    assert not read.any()


ARRAYS = ("mean", "basis", "basis_scales", "centroids", "centroid_scales")


def test_is_made_of_columns_of_numbers(codebook):
    columns = {name: getattr(codebook, name).ravel() for name in ARRAYS}

    made = codebook_of(**columns)

    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(made, name), getattr(codebook, name))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("count", [0, 8])
def test_a_codebook_of_another_size_is_refused(codebook, name, count):
    columns = {each: getattr(codebook, each) for each in ARRAYS}

    with pytest.raises(KernelInputError, match=f"{name} has {count} numbers"):
        codebook_of(**columns | {name: np.zeros(count, dtype=np.float32)})


# Training


def test_describes_the_cells_it_was_trained_for(codebook, planted):
    cells, _, _ = planted

    read = codebook.decode(codebook.encode(cells, 16))

    assert cosines(cells, read).mean() > 0.99


def test_describes_patterns_it_never_saw(codebook, planted):
    _, patterns, _ = planted

    means = [
        cosines(patterns, codebook.decode(codebook.encode(patterns, n_bytes))).mean()
        for n_bytes in CODE_SIZES
    ]

    assert means == sorted(means)
    assert means[-1] > 0.97


def test_groups_are_orthonormal_but_for_rounding(codebook):
    basis = codebook.basis * codebook.basis_scales[:, None]

    np.testing.assert_allclose(basis @ basis.T, np.eye(TURNED_DIMENSIONS), atol=0.01)


def test_the_same_input_gives_the_same_codebook(codebook, planted):
    cells, patterns, nearest = planted

    again = train_codebook(
        cells, ONES, spread_of(patterns, cells, nearest, apart(patterns), min_devices=4)
    )

    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(codebook, name))


def test_one_cell_is_enough():
    rng = np.random.default_rng(3)
    cells = directions(rng, 1).astype(np.float32)
    patterns = around(rng, np.repeat(cells, 50, axis=0), cosine=0.9)

    codebook = train_codebook(
        cells,
        np.ones(1, np.float32),
        spread_of(
            patterns,
            cells,
            np.zeros(50, dtype=np.int64),
            apart(patterns),
            min_devices=4,
        ),
    )

    read = codebook.decode(codebook.encode(cells, 16))
    assert cosines(cells, read)[0] > 0.99


def test_patterns_without_spread_are_enough():
    cells = directions(np.random.default_rng(4), 3).astype(np.float32)

    codebook = train_codebook(
        cells,
        np.ones(3, np.float32),
        spread_of(cells, cells, np.arange(3), np.arange(3), min_devices=4),
    )

    read = codebook.decode(codebook.encode(cells, 8))
    assert cosines(cells, read).min() > 0.99


def test_spread_is_as_wide_as_the_differences(planted):
    cells, patterns, nearest = planted

    spread = spread_of(patterns, cells, nearest, apart(patterns), min_devices=4)

    distances = ((patterns - cells[nearest]).astype(np.float64) ** 2).sum(axis=1)
    assert np.trace(spread.covariance) == pytest.approx(distances.mean())
    assert spread.energies[0] <= 1 <= spread.energies[-1]


def test_no_pattern_has_no_spread(planted):
    cells, patterns, nearest = planted

    with pytest.raises(KernelInputError, match="No pattern"):
        spread_of(patterns[:0], cells, nearest[:0], nearest[:0], min_devices=4)


def test_made_up_patterns_lie_about_the_cells_as_real_ones_do(planted):
    cells, patterns, nearest = planted
    spread = spread_of(patterns, cells, nearest, apart(patterns), min_devices=4)

    made_up = make_up_patterns(cells, ONES, spread, 4000, seed=1)

    real = cosines(patterns, cells[nearest]).mean()
    assert abs((made_up @ cells.T).max(axis=1).mean() - real) < 0.03


def test_training_cannot_tell_patterns_from_their_mirror_images(planted):
    """It knows how far they lie and in which directions, and no pattern itself."""
    cells, patterns, nearest = planted

    mirrored = spread_of(
        2 * cells[nearest] - patterns, cells, nearest, apart(patterns), min_devices=4
    )

    spread = spread_of(patterns, cells, nearest, apart(patterns), min_devices=4)
    np.testing.assert_allclose(mirrored.covariance, spread.covariance, atol=1e-9)
    np.testing.assert_allclose(mirrored.energies, spread.energies, atol=1e-5)


def test_a_tv_apart_from_all_others_leaves_no_trace(planted):
    """Not even where it lies: no direction of the codebook is its own."""
    cells, patterns, nearest = planted
    rng = np.random.default_rng(6)
    apart = unit(rng.standard_normal((1, 384)))
    own = unit(cells[[3] * 40] + 0.6 * apart + 0.002 * rng.standard_normal((40, 384)))
    # 300 TVs with four patterns each, and one.
    tvs = np.concatenate([np.arange(1200) // 4, np.full(40, 300)])
    everybody = np.concatenate([patterns, own])
    cells_of_all = np.concatenate([nearest, np.full(40, 3)])

    spread = spread_of(everybody, cells, cells_of_all, tvs, min_devices=4)

    direction = unit((own - cells[3]).mean(axis=0, keepdims=True))[0]
    found = train_codebook(cells, ONES, spread)
    basis = found.basis * found.basis_scales[:, None]
    # Any direction has about 0.2 with some of 256; with its own it had 0.8.
    assert np.abs(basis @ direction).max() < 0.4


def test_cells_without_mass_are_not_chosen(planted):
    cells, patterns, nearest = planted
    spread = spread_of(patterns, cells, nearest, apart(patterns), min_devices=4)
    masses = np.zeros(40, np.float32)
    masses[7] = 2

    made_up = make_up_patterns(cells, masses, spread, 50, seed=1)

    assert set((made_up @ cells.T).argmax(axis=1).tolist()) == {7}

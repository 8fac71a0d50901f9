"""Codes are read and written as the specification says, held against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from constellation.v1 import codebook_pb2
from fleet.codebook import Codebook
from fleet.errors import UnreadableReply
from tests.fleet.codebooks import any_codebook_body

N_BYTES = [8, 16, 24, 32, 40, 48]


@pytest.fixture(scope="module")
def body() -> bytes:
    return any_codebook_body()


@pytest.fixture(scope="module")
def codebook(body) -> Codebook:
    return Codebook.read(body)


@pytest.fixture
def vectors():
    rows = np.random.default_rng(1).standard_normal((5, 384))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def naive_parts(body):
    message = codebook_pb2.Codebook.FromString(body)
    basis = np.frombuffer(message.basis, np.int8).reshape(256, 384).astype(float)
    for row, scale in enumerate(message.basis_scales):
        basis[row] *= scale
    centroids = np.frombuffer(message.centroids, np.int8).reshape(6, 8, 256, 32)
    return np.array(message.mean), basis, centroids, message.centroid_scales


def naive_decode(body, code):
    mean, basis, centroids, scales = naive_parts(body)
    x = mean.copy()
    for place, byte in enumerate(code):
        s, g = divmod(place, 8)
        for d in range(32):
            y = scales[s * 8 + g] * float(centroids[s, g, byte, d])
            x += y * basis[g * 32 + d]
    return x / np.sqrt(sum(number * number for number in x))


def naive_greedy(body, vector, n_bytes):
    mean, basis, centroids, scales = naive_parts(body)
    left = (basis @ (vector - mean)).reshape(8, 32)
    code = []
    for place in range(n_bytes):
        s, g = divmod(place, 8)
        offers = scales[s * 8 + g] * centroids[s, g].astype(float)
        code.append(int(np.square(left[g] - offers).sum(axis=1).argmin()))
        left[g] -= offers[code[-1]]
    return code


@pytest.mark.parametrize("n_bytes", N_BYTES)
def test_codes_are_read_as_the_specification_says(codebook, body, n_bytes):
    codes = np.random.default_rng(2).integers(0, 256, (4, n_bytes), dtype=np.uint8)

    decoded = codebook.decode(codes)

    expected = [naive_decode(body, code.tolist()) for code in codes]
    np.testing.assert_allclose(decoded, expected, atol=1e-6)


@pytest.mark.parametrize("n_bytes", N_BYTES)
def test_a_beam_of_one_takes_the_nearest_at_each_stage(
    codebook, body, vectors, n_bytes
):
    codes = codebook.encode(vectors, n_bytes, beam=1)

    assert codes.tolist() == [naive_greedy(body, v, n_bytes) for v in vectors]


@pytest.mark.parametrize("n_bytes", N_BYTES[1:])
def test_a_wider_beam_comes_nearer(codebook, vectors, n_bytes):
    greedy = codebook.encode(vectors, n_bytes, beam=1)

    followed = codebook.encode(vectors, n_bytes)

    assert _left(codebook, followed, vectors) < _left(codebook, greedy, vectors)


def _left(codebook, codes, vectors):
    """What the turned vectors still lack, squared and summed."""
    turned = (vectors - codebook.mean) @ codebook.basis.T
    stages = codes.reshape(len(codes), -1, 8)
    for s in range(stages.shape[1]):
        for g in range(8):
            turned[:, 32 * g : 32 * g + 32] -= codebook.centroids[s, g, stages[:, s, g]]
    return float(np.square(turned).sum())


def test_a_full_beam_finds_the_best_of_two_stages(codebook, vectors):
    """With 256 followed nothing is lost: every pair of centroids was looked at."""
    codes = codebook.encode(vectors[:2], 16, beam=256)

    turned = ((vectors[:2] - codebook.mean) @ codebook.basis.T).reshape(2, 8, 32)
    for row in range(2):
        for g in range(8):
            first, second = codebook.centroids[0, g], codebook.centroids[1, g]
            sums = first[:, None] + second[None]
            costs = np.square(turned[row, g] - sums).sum(axis=2)
            found = costs[codes[row, g], codes[row, 8 + g]]
            assert found == pytest.approx(costs.min(), rel=1e-5)


def test_rows_are_encoded_alike_in_blocks_and_alone(codebook):
    rows = np.random.default_rng(5).standard_normal((300, 384)).astype(np.float32)

    codes = codebook.encode(rows, 16, beam=2)

    assert codes.shape == (300, 16)
    for i in (0, 127, 128, 299):
        assert codes[i].tolist() == codebook.encode(rows[[i]], 16, beam=2)[0].tolist()


def test_no_rows_have_no_codes(codebook):
    none = codebook.encode(np.zeros((0, 384), np.float32), 40)

    assert none.shape == (0, 40)
    assert codebook.decode(none).shape == (0, 384)


@pytest.mark.parametrize("n_bytes", [0, 7, 12, 56])
def test_codes_of_any_other_length_are_refused(codebook, n_bytes):
    with pytest.raises(ValueError, match=f"not {n_bytes}$"):
        codebook.decode(np.zeros((1, n_bytes), np.uint8))


def test_truncated_codebook_is_none(body):
    message = codebook_pb2.Codebook.FromString(body)
    message.centroid_scales.pop()

    for broken in (body[:-5], message.SerializeToString(), b""):
        with pytest.raises(UnreadableReply, match="the codebook is not one"):
            Codebook.read(broken)

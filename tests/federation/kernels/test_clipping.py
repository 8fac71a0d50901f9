from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federation.kernels import concatenate_blocks
from federation.kernels.clipping import Clipping, clip
from federation.kernels.quantise import pattern_weights
from tests.federation.kernels.planting import SEED, block_of, cut, names, nothing

CLIPPING = Clipping(patterns=3, contents=5, genres=2)


@pytest.fixture
def talkative(rng):
    """Thirty TVs with up to nine patterns each, which name much, and much twice."""
    patterns = rng.integers(1, 10, 30)
    rows = range(int(patterns.sum()))
    return block_of(
        rng,
        patterns,
        content_ids=[names(rng, "tt", 12, 8) for _ in rows],
        genres=[names(rng, "genre", 6, 4) for _ in rows],
    )


def clipped(block):
    return clip(block, CLIPPING, seed=SEED)


def by_tv(block):
    """What each TV has: key to (pattern key, contents, genres) of each row."""
    told: dict[tuple[int, ...], list[Any]] = {}
    for row, key in enumerate(block.pattern_keys.tolist()):
        told.setdefault(tuple(key[:2]), []).append(
            (tuple(key[2:]), block.content_ids[row], block.genres[row])
        )
    return told


def test_no_tv_has_more_than_counts(talkative):
    kept = clipped(talkative)

    for told in by_tv(kept).values():
        contents = [name for _, names, _ in told for name in names]
        genres = [name for _, _, names in told for name in names]
        assert len(told) <= CLIPPING.patterns
        assert len(contents) == len(set(contents)) <= CLIPPING.contents
        assert len(genres) == len(set(genres)) <= CLIPPING.genres
    assert kept.n_devices == talkative.n_devices


def test_what_is_kept_is_what_the_tv_said(talkative):
    said = {
        (tv, pattern): (set(contents), set(genres))
        for tv, told in by_tv(talkative).items()
        for pattern, contents, genres in told
    }

    for tv, told in by_tv(clipped(talkative)).items():
        for pattern, contents, genres in told:
            assert set(contents) <= said[tv, pattern][0]
            assert set(genres) <= said[tv, pattern][1]


def test_as_much_is_kept_as_may_count(talkative):
    kept = by_tv(clipped(talkative))

    for tv, told in by_tv(talkative).items():
        assert len(kept[tv]) == min(len(told), CLIPPING.patterns)
        kept_patterns = {pattern for pattern, _, _ in kept[tv]}
        named = {c for p, cs, _ in told if p in kept_patterns for c in cs}
        n_kept = sum(len(contents) for _, contents, _ in kept[tv])
        assert n_kept == min(len(named), CLIPPING.contents)


def test_what_is_kept_of_a_tv_does_not_depend_on_others(talkative):
    together = by_tv(clipped(talkative))

    alone = by_tv(concatenate_blocks([clipped(part) for part in cut(talkative, 30)]))

    assert together == alone


def test_the_heaviest_patterns_are_kept(rng):
    block = block_of(rng, [6], is_fresh=np.ones(6, dtype=np.bool_))
    heaviest = np.argsort(-pattern_weights(block), kind="stable")[:3]

    kept = clipped(block)

    assert kept.pattern_keys.tolist() == block.pattern_keys[heaviest].tolist()


def test_what_was_reported_afresh_comes_before_what_is_heavy(rng):
    is_fresh = np.array([False, True, False, True])
    block = block_of(
        rng, [4], is_fresh=is_fresh, sample_count=np.array([1000, 1, 1000, 1])
    )

    kept = clipped(block)

    assert kept.is_fresh.tolist() == [True, True, False]


def test_vectors_that_are_too_long_are_shortened(rng):
    block = block_of(rng, [1, 1])
    block.embeddings[0] *= 3

    lengths = np.linalg.norm(clipped(block).embeddings, axis=1)

    assert lengths == pytest.approx([1, 1], abs=1e-6)


def test_nothing_stays_nothing():
    assert len(clipped(nothing())) == 0

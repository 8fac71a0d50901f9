"""The measures against slow and obvious ones."""

from __future__ import annotations

from math import log2, sqrt

import numpy as np
import pytest

from fleet import lift


def naive_ndcg(scores, relevant, seen, k):
    order = sorted(
        (item for item in range(len(scores)) if item not in seen),
        key=lambda item: (-scores[item], item),
    )
    gain = sum(
        1 / log2(place + 2) for place, item in enumerate(order[:k]) if item in relevant
    )
    best = sum(1 / log2(place + 2) for place in range(min(k, len(relevant))))
    return gain / best


def naive_item_knn(likes, user):
    n_items = likes.shape[1]
    scores = [0.0] * n_items
    for j in range(n_items):
        for i in range(n_items):
            if i == j or not likes[user, i] or not likes[:, j].any():
                continue
            together = (likes[:, i] * likes[:, j]).sum()
            scores[j] += together / sqrt(likes[:, i].sum() * likes[:, j].sum())
    return scores


def naive_ease(likes, user, ridge):
    """Steck's closed form, as printed."""
    p = np.linalg.inv(likes.T @ likes + ridge * np.eye(likes.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return likes[user] @ b


@pytest.fixture
def likes():
    rng = np.random.default_rng(5)
    likes = (rng.random((12, 20)) < 0.3).astype(float)
    likes[:, 7] = 0  # nobody liked it
    likes[4] = 0  # liked nothing
    return likes


def test_ndcg_matches_the_textbook():
    rng = np.random.default_rng(1)
    for _ in range(50):
        scores = rng.integers(0, 6, size=30).astype(float)  # with ties
        relevant = set(rng.choice(30, size=int(rng.integers(1, 15)), replace=False))
        seen = [int(i) for i in rng.choice(30, size=8, replace=False)]

        found = lift.ndcg(scores, relevant=relevant, seen=seen)

        assert found == pytest.approx(naive_ndcg(scores, relevant, seen, 10))


def test_ndcg_of_the_best_ranking_is_one():
    assert lift.ndcg(np.array([3.0, 2, 1, 0]), relevant={0, 1}, seen=[]) == 1


def test_what_was_seen_neither_counts_nor_takes_a_place():
    scores = np.array([9.0, 1, 0])

    assert lift.ndcg(scores, relevant={1}, seen=[0]) == 1


def test_catalogue_that_was_seen_whole_scores_nothing():
    assert lift.ndcg(np.array([1.0, 2]), relevant={0}, seen=[0, 1]) == 0


def test_ndcg_leaves_the_scores_alone():
    scores = np.array([3.0, 2, 1])

    lift.ndcg(scores, relevant={2}, seen=[0])

    assert scores.tolist() == [3, 2, 1]


def test_nothing_relevant_cannot_be_graded():
    with pytest.raises(ValueError, match="Nothing is relevant"):
        lift.ndcg(np.ones(3), relevant=set(), seen=[])


def test_item_knn_matches_the_double_loop(likes):
    users = np.array([0, 4, 11])

    scores = lift.item_knn(likes, users)

    expected = [naive_item_knn(likes, user) for user in users]
    assert np.allclose(scores, expected)


def test_ease_matches_the_inverse_of_items_by_items(likes):
    users = np.array([0, 4, 11])

    scores = lift.ease(likes, users, ridge=3.0)

    expected = [naive_ease(likes, user, ridge=3.0) for user in users]
    assert np.allclose(scores, expected)


def test_ease_without_a_ridge_is_refused(likes):
    with pytest.raises(ValueError, match="ridge is 0"):
        lift.ease(likes, np.array([0]), ridge=0)

"""Does what the fleet learned help the viewer? Measures and the ideals beside them.

numpy only. The ideals see everyone's likes in one place, which no system that keeps
households apart may do: they say how far there is to go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CUTOFF = 10

#: Ridge of EASE^R, as the design fixes it.
EASE_RIDGE = 200.0


def ndcg(
    scores: Floats, *, relevant: Collection[int], seen: Sequence[int], k: int = CUTOFF
) -> float:
    """Grade a ranking by its first ``k`` places.

    Parameters
    ----------
    scores : ndarray of shape (n_items,)
        The more, the earlier; ties go to the lower item.
    relevant : collection of int
        Items that should have been found. Not empty.
    seen : sequence of int
        Items that are left out of the ranking.

    Returns
    -------
    float
        From 0 to 1; 1 when every place that could hold a relevant item does.

    Notes
    -----
    ``DCG = sum over places p = 1..k holding a relevant item of 1 / log2(p + 1)``,
    divided by the DCG of ``min(k, |relevant|)`` relevant items in front.
    """
    if not relevant:
        raise ValueError("Nothing is relevant: there is no best ranking to grade by.")

    remaining = scores.astype(np.float64)
    remaining[list(seen)] = -np.inf
    ranking = np.argsort(-remaining, kind="stable")[:k]
    discounts = 1 / np.log2(np.arange(2, len(ranking) + 2))
    hits = [item in relevant and remaining[item] > -np.inf for item in ranking]
    best = discounts[: min(k, len(relevant))].sum()
    return float(discounts[np.array(hits)].sum() / best)


def item_knn(likes: Floats, users: NDArray[np.int64]) -> Floats:
    """Score items by their cosine to what each user liked.

    Parameters
    ----------
    likes : ndarray of shape (n_users, n_items)
        1 where a user liked an item, 0 elsewhere.
    users : ndarray of shape (n_scored,)
        Rows of ``likes`` to score for.

    Returns
    -------
    ndarray of shape (n_scored, n_items)

    Notes
    -----
    ``score_j = sum over liked i != j of n_ij / sqrt(n_i n_j)``. The items × items
    matrix is never made: ``(x D) Lᵀ L D`` with ``D = diag(1 / sqrt(n))`` costs
    users × users instead.
    """
    n = likes.sum(axis=0)  # shape: (n_items,)
    d = np.divide(1.0, np.sqrt(n), out=np.zeros_like(n), where=n > 0)
    x = likes[users]  # shape: (n_scored, n_items)
    scores: Floats = ((x * d) @ likes.T) @ likes * d
    # Every liked item found itself, with cosine one.
    scores -= x
    return scores


def ease(
    likes: Floats, users: NDArray[np.int64], *, ridge: float = EASE_RIDGE
) -> Floats:
    """Score items by EASE^R, the closed-form linear autoencoder.

    Parameters
    ----------
    likes : ndarray of shape (n_users, n_items)
        1 where a user liked an item, 0 elsewhere.
    users : ndarray of shape (n_scored,)
        Rows of ``likes`` to score for.
    ridge : float
        λ, above zero.

    Returns
    -------
    ndarray of shape (n_scored, n_items)

    Notes
    -----
    ``P = (LᵀL + λI)⁻¹``, ``B_ij = -P_ij / P_jj`` off the diagonal and 0 on it, scores
    ``x B = x - x P diag(1 / P_jj)``. By Woodbury's identity
    ``P = (I - Lᵀ M L) / λ`` with ``M = (λI + LLᵀ)⁻¹``: users × users instead of
    items × items.

    References
    ----------
    Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data, equation 8.
    https://arxiv.org/abs/1905.03375
    """
    if ridge <= 0:
        raise ValueError(f"ridge is {ridge}; it has to be above zero.")

    n_users = likes.shape[0]
    ml = np.linalg.solve(ridge * np.eye(n_users) + likes @ likes.T, likes)
    p_diagonal = (1 - (likes * ml).sum(axis=0)) / ridge  # shape: (n_items,)
    x = likes[users]  # shape: (n_scored, n_items)
    x_p = (x - (x @ likes.T) @ ml) / ridge  # shape: (n_scored, n_items)
    scores: Floats = x - x_p / p_diagonal
    return scores

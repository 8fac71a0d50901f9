"""Shards whose sums of a cell point elsewhere than those of the other shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .arrays import BoolArray, Float64Array, Int8Array, Int64Array
from .quantise import COMPONENT_ONE, code_norms, quantise, unit_rows
from .sparse import SparseCounts
from .sums import CellSums

# A shard is left out of a cell if half of the others lie further than this away (45
# degrees)...
_LEAST_COSINE = 0.7071
# ...which is three times as far as shards usually lie from half of the others: nine
# times as much below a cosine of 1...
_UNUSUAL = 9.0
# ...if all that are left out have less than this share of the votes...
_LARGEST_SHARE = 1 / 3
# ...and so many shards vote.
_LEAST_SHARDS = 5

# A shard has a say in a cell from so many TVs on, if they have a direction.
_LEAST_DEVICES = 10
# A shard has at most so many times the votes of the median one: how many TVs it has is
# its own word.
_MOST_VOTES = 2.0

# Where every shard is within this of the mean of all, nobody need be judged.
_CLOSE = 0.9

# Fields of ``CellSums`` that are tables by cell.
_BY_CELL = ("batches", "genres", "contents")


@dataclass(frozen=True)
class ShardMeans:
    """Where the cells of one shard lie, in 400 bytes each."""

    #: Directions. (n_cells, 384)
    codes: Int8Array
    #: Lengths of means, 0 to 1. (n_cells,)
    lengths: Float64Array
    #: Distinct TVs. (n_cells,)
    devices: Int64Array
    #: TVs of the shard.
    n_devices: int

    @classmethod
    def of(cls, sums: CellSums) -> ShardMeans:
        """Take what is needed of a shard's sums.

        Parameters
        ----------
        sums : CellSums
            Of one shard.

        Returns
        -------
        ShardMeans
            A row a cell.
        """
        scale = np.maximum(sums.weights, 1).astype(np.float64) * COMPONENT_ONE
        lengths = np.sqrt(np.square(sums.vectors / scale[:, np.newaxis]).sum(axis=1))
        return cls(
            codes=quantise(unit_rows(sums.vectors)),
            lengths=lengths,
            devices=sums.devices.copy(),
            n_devices=sums.n_devices,
        )


def outlying_cells(means: Sequence[ShardMeans]) -> BoolArray:
    """Tell which cells of which shards are left out.

    Parameters
    ----------
    means : sequence of ShardMeans
        One a shard, at least one, all over the same cells.

    Returns
    -------
    ndarray of shape (n_shards, n_cells), bool
        Nothing is left out unless those that stay have two thirds of the votes.

    Notes
    -----
    The cosine of two means is told without what chance takes from it: with n TVs of
    mean length m, ``m^2 - (1 - m^2) / (n - 1)`` is the squared length of what they have
    in common. A shard is judged by the median of its cosines to the others, each with
    votes by its TVs. (Yin et al. 2018 trim coordinates; a shard that lies does so with
    a whole vector, and is left out whole.)
    """
    n_cells = len(means[0].devices)
    is_out = np.zeros((len(means), n_cells), dtype=np.bool_)
    if len(means) < _LEAST_SHARDS:
        return is_out
    sizes = np.array([each.n_devices for each in means], dtype=np.float64)
    votes = np.minimum(sizes, _MOST_VOTES * np.median(sizes))
    lengths = np.stack([each.lengths for each in means])
    devices = np.stack([each.devices for each in means])
    chance = (1 - np.square(lengths)) / np.maximum(devices - 1, 1)
    common = np.square(lengths) - chance
    has_say = (devices >= _LEAST_DEVICES) & (common > 2 * chance)
    for cell in np.flatnonzero(has_say.sum(axis=0) >= _LEAST_SHARDS).tolist():
        say = np.flatnonzero(has_say[:, cell])
        codes = np.stack([means[shard].codes[cell] for shard in say.tolist()])
        # How much of its length each direction owes to chance.
        true = lengths[say, cell] / np.sqrt(common[say, cell])
        is_out[say, cell] = _outvoted(codes, true, votes[say])
    return is_out


def without_cells(sums: CellSums, is_out: BoolArray) -> CellSums:
    """The sums as if no TV had a pattern in some cells.

    Parameters
    ----------
    sums : CellSums
        Of one shard.
    is_out : ndarray of shape (n_cells,), bool
        The cells.

    Returns
    -------
    CellSums
        What isn't by cell stays.
    """
    changed: dict[str, Any] = {}
    for field in fields(sums):
        value = getattr(sums, field.name)
        if isinstance(value, np.ndarray):
            kept = ~is_out.reshape(-1, *[1] * (value.ndim - 1))
            changed[field.name] = np.where(kept, value, 0)
        elif field.name in _BY_CELL:
            changed[field.name] = _without_rows(value, is_out)
    return replace(sums, **changed)


def _without_rows(table: SparseCounts, is_out: BoolArray) -> SparseCounts:
    is_kept = ~is_out[table.rows]
    return replace(
        table,
        rows=table.rows[is_kept],
        columns=table.columns[is_kept],
        counts=table.counts[is_kept],
    )


def _outvoted(codes: Int8Array, true: Float64Array, votes: Float64Array) -> BoolArray:
    """Which directions half of the others are far from."""
    nobody = np.zeros(len(codes), dtype=np.bool_)
    wide = codes.astype(np.float32)
    scale = true / code_norms(codes)
    # Products of codes are exact in float32, however the BLAS adds them up.
    cosines = (wide @ wide.T) * scale[:, np.newaxis] * scale
    middle = np.einsum("i,ij->j", votes * scale, wide.astype(np.float64))
    to_middle = np.einsum("ij,j->i", wide.astype(np.float64), middle) * scale
    if to_middle.min() >= _CLOSE * np.sqrt(np.square(middle).sum()):
        return nobody
    distances = 1 - np.minimum(cosines, 1)
    medians = np.array(
        [
            _median(np.delete(distances[shard], shard), np.delete(votes, shard))
            for shard in range(len(codes))
        ]
    )
    limit = max(1 - _LEAST_COSINE, _UNUSUAL * _median(medians, votes))
    is_out: BoolArray = medians > limit
    if votes[is_out].sum() >= _LARGEST_SHARE * votes.sum():
        return nobody
    return is_out


def _median(values: Float64Array, votes: Float64Array) -> float:
    """The smallest value that at least half of the votes don't exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(votes[order])
    return float(values[order[(2 * reached >= votes.sum()).argmax()]])

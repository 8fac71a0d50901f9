"""When a round trains a new codebook, and which ones a publication carries.

A codebook never changes and outlives publications. TVs fetch each new one, half a
megabyte, so a round trains only if there is none, if there are twice the cells the last
was trained for, or if it describes today's patterns clearly worse than it did those of
the day it was new.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from django.db.models.functions import Now
from numpy.typing import NDArray

from federation import codebooks
from federation.kernels import PatternSample
from federation.kernels.codebook import Codebook, cosines
from federation.kernels.quantise import CodedCentroids, quantise, unit_rows
from federation.models import TrainedCodebook
from federation.result import RoundResult
from federation.visits import visits
from shards.models import Shard

#: A delta may be written with the current one or the three before.
KEPT_CODEBOOKS = 4

#: A codebook is judged by what deltas send: so many patterns, in codes of so many
#: bytes.
#: Cells are their means, and where patterns move, cells do.
JUDGED_BYTES = 40
JUDGED_PATTERNS = 1 << 12
#: Worse by so much than when it was new: a round trains another.
COSINE_LOST = 0.005
#: As it does with so many times the cells.
CELLS_GROWN = 2

#: Patterns that tell how patterns lie about their cells.
SPREAD_PATTERNS = 1 << 14


@dataclass(frozen=True, kw_only=True, eq=False)
class NewCodebook:
    """What a round trained."""

    version: int
    #: The serialised message ``Codebook``.
    payload: bytes
    cell_count: int
    #: Between patterns and their codes of ``JUDGED_BYTES``, on average.
    cosine: float


def for_result(
    result: RoundResult, *, sample: PatternSample, min_devices: int
) -> NewCodebook | None:
    """Train a codebook if this result needs another; a few seconds of one core.

    ``sample`` are the patterns that the round's cells were fitted to.
    """
    if not result.patterns:
        return None
    patterns = unit_rows(sample.vectors[:SPREAD_PATTERNS].astype(np.int64))
    newest = TrainedCodebook.objects.first()
    if newest is not None and not _is_outgrown(newest, result, patterns):
        return None
    # Only a round trains: no other process has faiss in its memory.
    from federation.kernels.codebook_training import spread_of, train_codebook

    codebook = train_codebook(
        result.embeddings,
        np.array([pattern.mass for pattern in result.patterns], dtype=np.float32),
        # About the published cells: those who lie in no such cell send codes as well.
        spread_of(
            patterns,
            result.embeddings,
            CodedCentroids(result.embeddings).nearest(quantise(patterns))[0],
            sample.device_numbers()[:SPREAD_PATTERNS],
            min_devices=min_devices,
        ),
    )
    version = max(newest.version if newest else 0, _newest_on_shards()) + 1
    return NewCodebook(
        version=version,
        payload=codebooks.to_payload(codebook, version),
        cell_count=len(result.patterns),
        cosine=_cosine(codebook, patterns),
    )


def payloads(new: NewCodebook | None = None) -> dict[int, bytes]:
    """Give those that a publication carries, by version, the newest first."""
    carried = {} if new is None else {new.version: new.payload}
    kept = TrainedCodebook.objects.values_list("version", "payload")
    for version, payload in kept[: KEPT_CODEBOOKS - len(carried)]:
        carried[version] = bytes(payload)
    return carried


def keep(new: NewCodebook | None, *, round_id: int) -> None:
    """Write down what a round trained; part of the caller's transaction."""
    if new is None:
        return
    TrainedCodebook.objects.create(
        version=new.version,
        payload=new.payload,
        round_id=round_id,
        cell_count=new.cell_count,
        cosine=new.cosine,
        trained_at=Now(),
    )
    versions = TrainedCodebook.objects.values_list("version", flat=True)
    kept = list(versions[:KEPT_CODEBOOKS])
    TrainedCodebook.objects.exclude(version__in=kept).delete()


def _newest_on_shards() -> int:
    """The newest that any shard has which answers.

    It is newer than what is trained here if the control database was restored from a
    backup: no version may mean two codebooks.
    """
    shard_ids = Shard.objects.values_list("id", flat=True)
    found = visits(shard_ids, codebooks.newest_version)
    return max((visit.value or 0 for visit in found), default=0)


def _is_outgrown(
    newest: TrainedCodebook, result: RoundResult, patterns: NDArray[np.float32]
) -> bool:
    if len(result.patterns) >= CELLS_GROWN * newest.cell_count:
        return True
    cosine = _cosine(codebooks.from_payload(bytes(newest.payload)), patterns)
    return cosine < newest.cosine - COSINE_LOST


def _cosine(codebook: Codebook, patterns: NDArray[np.float32]) -> float:
    judged = patterns[:JUDGED_PATTERNS]
    codes = codebook.encode(judged, JUDGED_BYTES)
    return float(cosines(judged, codebook.decode(codes)).mean()) if len(judged) else 1.0

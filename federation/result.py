"""The result of a round: what TVs are given, and its checksum. Pure data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.kernels import EMBEDDING_DIMENSIONS, Kind


@dataclass(frozen=True)
class ResultPattern:
    """A cell that may be shown, but for its vector."""

    cell: int
    success_rate: float
    sample_count: int
    mass: float
    device_count: int
    batch_count: int
    time_of_day: int
    day_of_week: int
    content_type: int
    genre_hints: tuple[str, ...]
    content_ids: tuple[str, ...]


@dataclass(frozen=True)
class ResultTrend:
    region: str
    #: 1 is the strongest of its region.
    rank: int
    item: str
    score: float
    rate: float
    usual_rate: float
    device_count: int
    kind: str = Kind.STEADY.value


@dataclass(frozen=True)
class ResultOrigin:
    """Where a trend comes from, for operators: columns of ``Trend``."""

    course: tuple[float, ...] = ()
    shard_ids: tuple[int, ...] = ()
    shard_shares: tuple[float, ...] = ()
    batch_ids: tuple[int, ...] = ()
    batch_shares: tuple[float, ...] = ()
    shard_concentration: float = 0.0
    batch_concentration: float = 0.0
    carrying_shard: int | None = None
    carrying_batch: int | None = None


@dataclass(frozen=True)
class ResultLinks:
    """What leads on from one content, strongest first."""

    content_id: str
    related_ids: tuple[str, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class RoundResult:
    """Everything one version publishes, in the one order it has.

    Patterns ascend by cell, trends by region and rank, links by content id.
    """

    patterns: tuple[ResultPattern, ...] = ()
    trends: tuple[ResultTrend, ...] = ()
    links: tuple[ResultLinks, ...] = ()
    #: Unit vectors, row i belonging to pattern i. float32, shape (n, 384)
    embeddings: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((0, EMBEDDING_DIMENSIONS), dtype=np.float32)
    )
    #: Shards behind each pattern. Not part of the checksum: it says where the TVs are
    #: kept, not what they said. int64, shape (n,)
    source_counts: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, dtype=np.int64)
    )
    #: Items that fade, for operators: TVs aren't given them.
    fading: tuple[ResultTrend, ...] = ()
    #: Of each trend, then of each fading item; empty if nothing is known. Not part of
    #: the checksum either.
    origins: tuple[ResultOrigin, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.patterns or self.trends or self.links)

    def checksum(self) -> str:
        """SHA-256, in hexadecimal, of what TVs would be given.

        The same TVs give the same sum, in whatever round, under whatever version and
        on however many shards.
        """
        digest = hashlib.sha256()
        digest.update(np.ascontiguousarray(self.embeddings, dtype="<f4").tobytes())
        for rows in (self.patterns, self.trends, self.links):
            digest.update(_canonical(rows))
        return digest.hexdigest()


def _canonical(
    rows: Iterable[ResultPattern | ResultTrend | ResultLinks],
) -> bytes:
    # A float's repr is the shortest text that reads back as the same float.
    text = json.dumps([astuple(row) for row in rows], separators=(",", ":"))
    return text.encode() + b"\n"

"""What a TV says to the server, as plain values; what it hears is in ``news``.

Nothing here decides anything: the brain learns, the outbox chooses what to send,
``json_wire`` and ``protobuf_wire`` write it, the client carries it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

EMBEDDING_DIMENSIONS = 384

#: Digits after the point that tell two directions apart: less is no change worth
#: telling. A component of a unit vector is about 0.05, so they differ by 0.00001.
FINGERPRINT_DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class Context:
    """The circumstances a pattern was learned in; None where nothing stands out."""

    time_of_day: str | None = None
    day_of_week: str | None = None
    content_type: str | None = None
    genre_hints: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPattern:
    """One taste of a household."""

    id: UUID
    embedding: Vector
    #: How often something of this taste was watched, and how often it was liked.
    watched_count: int
    liked_count: int
    context: Context
    content_ids: tuple[str, ...]

    @property
    def success_rate(self) -> float:
        return self.liked_count / self.watched_count

    @property
    def fingerprint(self) -> str:
        """Name everything that an update can't change, only a new addition."""
        digest = hashlib.sha256(
            np.round(self.embedding, FINGERPRINT_DECIMALS).tobytes()
        )
        digest.update(repr((self.context, self.content_ids)).encode())
        return digest.hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Growth:
    """More samples of a pattern that was told before."""

    id: UUID
    watched_count: int
    liked_count: int

    @property
    def success_rate(self) -> float:
        return self.liked_count / self.watched_count


@dataclass(frozen=True, kw_only=True, eq=False)
class Changes:
    """What a delta says, before it is written."""

    added: Sequence[LearnedPattern] = ()
    grown: Sequence[Growth] = ()
    removed: Sequence[UUID] = ()
    local_version: int

    def __bool__(self) -> bool:
        return bool(self.added or self.grown or self.removed)


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """What a TV says of itself."""

    enrolment_key: str
    device_id: UUID
    #: None: that of its enrolment batch.
    region: str | None
    model: str
    firmware: str


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """What it is told."""

    token: str
    #: None or empty: syncs go where it enrolled.
    sync_url: str | None


@dataclass(frozen=True, kw_only=True)
class Sync:
    """A delta that was written, and what goes with it this time."""

    device_id: UUID
    #: As a wire wrote it; the same each time it is sent.
    delta: bytes
    base_version: int
    #: The publication that the TV holds; None before the first.
    global_version: int | None

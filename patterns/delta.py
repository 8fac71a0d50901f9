"""What a delta means: which rows it leaves behind, and whether it is applied at all.

Pure: no database, no clock. ``patterns/services/store.py`` reads what is stored,
asks here, and writes the answer.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from patterns.exceptions import (
    StaleVersion,
    TooManyPatterns,
    VersionGap,
    VersionReused,
)

#: What the column holds. A TV gets there after 4 billion updates.
SAMPLE_COUNT_MAX = 2**63 - 1


# What a delta is made of isn't frozen, and may be mapped over columns: a sync makes
# dozens of these, and frozen ones by keywords take six times as long to make. Nobody
# changes them all the same.


@dataclass(slots=True)
class Context:
    """The circumstances of a pattern: codes of ``patterns/context.py``."""

    time_of_day: int = 0
    day_of_week: int = 0
    content_type: int = 0
    genre_hints: tuple[str, ...] = ()
    content_ids: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class PatternAddition:
    """A pattern as the TV has it now; it replaces one with the same id."""

    id: UUID
    #: float32 as sent (or read from ``code``), any length but zero. shape: (384,)
    embedding: NDArray[np.float32]
    success_rate: float
    sample_count: int
    context: Context = field(default_factory=Context)
    #: What was sent if not the embedding: a codebook's version, and a code of it.
    code: tuple[int, bytes] | None = None


@dataclass(slots=True)
class PatternUpdate:
    """More samples of a pattern that is stored already."""

    id: UUID
    new_success_rate: float
    additional_samples: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Delta:
    """What changed on a TV, validated: no id twice in one list."""

    added: tuple[PatternAddition, ...] = ()
    updated: tuple[PatternUpdate, ...] = ()
    removed: tuple[UUID, ...] = ()
    local_version: int
    #: The version this delta was made on top of, if the TV says so.
    base_version: int | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.updated or self.removed)

    @cached_property
    def digest(self) -> bytes:
        """Tell two contents apart: SHA-256 of the three lists, in their order.

        Of what was sent, not of what is stored: reading a code or normalising a
        vector may differ in its last bit between two machines, and a retry may reach
        another one.
        """
        sha = hashlib.sha256()
        sha.update(
            struct.pack("<3I", len(self.added), len(self.updated), len(self.removed))
        )
        for addition in self.added:
            _digest_addition(sha, addition)
        for update in self.updated:
            sha.update(update.id.bytes)
            sha.update(
                struct.pack("<dq", update.new_success_rate, update.additional_samples)
            )
        for pattern_id in self.removed:
            sha.update(pattern_id.bytes)
        return sha.digest()

    def touched_ids(self) -> list[UUID]:
        """List the ids whose stored rows matter, each once."""
        named = [a.id for a in self.added] + [u.id for u in self.updated]
        return list(dict.fromkeys([*named, *self.removed]))


def _digest_addition(sha: hashlib._Hash, addition: PatternAddition) -> None:
    context = addition.context
    sha.update(addition.id.bytes)
    if addition.code is None:
        sha.update(addition.embedding.astype("<f4", copy=False).tobytes())
    else:
        codebook_version, code = addition.code
        sha.update(struct.pack("<2I", codebook_version, len(code)))
        sha.update(code)
    sha.update(
        struct.pack(
            "<dq3B",
            addition.success_rate,
            addition.sample_count,
            context.time_of_day,
            context.day_of_week,
            context.content_type,
        )
    )
    for names in (context.genre_hints, context.content_ids):
        sha.update(struct.pack("<I", len(names)))
        for name in names:
            encoded = name.encode()
            sha.update(struct.pack("<I", len(encoded)))
            sha.update(encoded)


#: Of a TV that never synced: the version is 0 and nothing was ever sent.
EMPTY_DIGEST = Delta(local_version=0).digest


class Decision(Enum):
    APPLY = "apply"
    #: It was applied before, and its answer was lost on the way.
    REPLAY = "replay"


def decide(*, stored_version: int, stored_digest: bytes, delta: Delta) -> Decision:
    """Say whether a delta is new; this is what makes a sync exactly once.

    Raises VersionReused, StaleVersion or VersionGap when it must not be applied.
    A retry is recognised before ``base_version`` is looked at: it was right when
    the delta was first sent.
    """
    if delta.local_version == stored_version:
        if delta.digest == (stored_digest or EMPTY_DIGEST):
            return Decision.REPLAY
        raise VersionReused(
            field="delta.local_version",
            accepted=f"more than {stored_version}",
            local_version=stored_version,
        )
    if delta.local_version < stored_version:
        raise StaleVersion(
            field="delta.local_version",
            accepted=f"more than {stored_version}",
            sent=delta.local_version,
            local_version=stored_version,
        )
    if delta.base_version is not None and delta.base_version != stored_version:
        raise VersionGap(
            field="base_version",
            accepted=str(stored_version),
            sent=delta.base_version,
            local_version=stored_version,
            resync=True,
        )
    return Decision.APPLY


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPattern:
    """What is known of a stored row: enough to update it."""

    success_rate: float
    sample_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What became of a delta's entries, as the TV is told."""

    stored: int = 0
    #: Below the quality threshold; not an error.
    filtered: int = 0
    updated: int = 0
    removed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Changes:
    """The writes that a delta comes down to: no id in two of them."""

    #: Whole rows, new or replacing.
    upserts: tuple[PatternAddition, ...]
    #: Stored rows that keep all but their rate and count; also when those stay the
    #: same, because the TV has spoken of them.
    updates: Mapping[UUID, StoredPattern]
    deletes: tuple[UUID, ...]
    accepted: Accepted
    #: How many patterns the TV has afterwards.
    pattern_count: int


def apply(
    stored: Mapping[UUID, StoredPattern],
    delta: Delta,
    *,
    pattern_count: int,
    quality_threshold: float,
    patterns_limit: int,
) -> Changes:
    """Work out what a delta does to the stored rows it touches.

    Additions come first, then updates, then removals. Afterwards none of the touched
    patterns is below the threshold. ``stored`` holds the touched rows that exist.
    """
    after: dict[UUID, StoredPattern | PatternAddition] = dict(stored)
    n_stored = n_filtered = n_updated = n_removed = 0

    for addition in delta.added:
        if addition.success_rate >= quality_threshold:
            after[addition.id] = addition
            n_stored += 1
        else:
            # What was stored under this id is outdated, so it goes as well.
            after.pop(addition.id, None)
            n_filtered += 1
    for update in delta.updated:
        before = after.get(update.id)
        if before is None:
            continue
        rate, count = averaged(before, update)
        if rate >= quality_threshold:
            after[update.id] = replace(before, success_rate=rate, sample_count=count)
            n_updated += 1
        else:
            del after[update.id]
            n_filtered += 1
    for pattern_id in delta.removed:
        if after.pop(pattern_id, None) is not None:
            n_removed += 1

    pattern_count += len(after) - len(stored)
    if pattern_count > patterns_limit and len(after) > len(stored):
        raise TooManyPatterns(
            field="delta.patterns_added",
            problem=f"the TV would have {pattern_count} patterns",
            accepted=f"additions up to {patterns_limit} patterns on the TV",
            limit=patterns_limit,
            limit_name="patterns_per_device",
        )
    return Changes(
        upserts=tuple(p for p in after.values() if isinstance(p, PatternAddition)),
        updates={
            update.id: pattern
            for update in delta.updated
            if isinstance(pattern := after.get(update.id), StoredPattern)
        },
        deletes=tuple(pattern_id for pattern_id in stored if pattern_id not in after),
        accepted=Accepted(
            stored=n_stored,
            filtered=n_filtered,
            updated=n_updated,
            removed=n_removed,
        ),
        pattern_count=pattern_count,
    )


def averaged(
    pattern: StoredPattern | PatternAddition, update: PatternUpdate
) -> tuple[float, int]:
    """Rate and count after an update: ``(rate·n + new·k) / (n + k)`` and ``n + k``.

    Written as a step from the old rate, so that an update which says the same rate
    again leaves it where it is: rounding must not carry it below the threshold.
    """
    n, k = pattern.sample_count, update.additional_samples
    old, new = pattern.success_rate, update.new_success_rate
    rate = old + (new - old) * (k / (n + k))
    rate = min(max(rate, min(old, new)), max(old, new))
    return rate, min(n + k, SAMPLE_COUNT_MAX)

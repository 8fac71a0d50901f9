"""What a TV says that it learned, column by column, and whether it counts.

Pure: no database, no clock. ``patterns/reckoning.py`` says what a delta asks of the
stored rows, and ``patterns/services/store.py`` does it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from patterns.exceptions import StaleVersion, VersionGap, VersionReused
from patterns.vectors import EMBEDDING_DIMENSIONS

#: What stands for an embedding that was sent as a code: a codebook's version, and it.
SentCode = tuple[int, bytes]


def _no_vectors() -> NDArray[np.float32]:
    return np.empty((0, EMBEDDING_DIMENSIONS), dtype=np.float32)


# Columns, because a sync has dozens of entries and a server thousands of syncs: an
# object for each would cost more than all the rest of reading them. Not frozen, since
# that takes six times as long to make; nobody changes them all the same.


@dataclass(slots=True, eq=False)
class Additions:
    """Patterns as the TV has them now; each replaces one with the same id.

    Row i of each column is of one pattern.
    """

    #: 16 bytes each
    ids: Sequence[bytes] = ()
    #: As sent (or read from ``codes``), any length but zero. shape: (n, 384)
    embeddings: NDArray[np.float32] = field(default_factory=_no_vectors)
    #: 0 to 1
    success_rates: Sequence[float] = ()
    #: 1 or more
    sample_counts: Sequence[int] = ()
    # Codes of ``patterns/context.py``.
    times_of_day: bytes = b""
    days_of_week: bytes = b""
    content_types: bytes = b""
    genre_hints: Sequence[Sequence[str]] = ()
    content_ids: Sequence[Sequence[str]] = ()
    #: What was sent if not the embedding.
    codes: Sequence[SentCode | None] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True, eq=False)
class Updates:
    """More samples of patterns that are stored already; row i is of one pattern."""

    #: 16 bytes each
    ids: Sequence[bytes] = ()
    #: 0 to 1
    new_success_rates: Sequence[float] = ()
    #: 0 or more
    additional_samples: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.ids)


_NO_ADDITIONS, _NO_UPDATES = Additions(), Updates()


@dataclass(frozen=True, kw_only=True, eq=False)
class Delta:
    """What changed on a TV, validated: no id twice in one list."""

    added: Additions = _NO_ADDITIONS
    updated: Updates = _NO_UPDATES
    #: Ids, 16 bytes each.
    removed: Sequence[bytes] = ()
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
        counts = len(self.added), len(self.updated), len(self.removed)
        pieces = [_COUNTS.pack(*counts)]
        if self.added:
            pieces += _pieces_of_additions(self.added)
        pieces += map(_UPDATE.pack, *_columns_of(self.updated))
        pieces += self.removed
        return hashlib.sha256(b"".join(pieces)).digest()


_COUNT = struct.Struct("<I")
_COUNTS = struct.Struct("<3I")
_CODE = struct.Struct("<2I")
_FACTS = struct.Struct("<dq3B")
_UPDATE = struct.Struct("<16sdq")


def _pieces_of_additions(added: Additions) -> Iterator[bytes]:
    vectors = added.embeddings.astype("<f4", copy=False)
    facts = map(
        _FACTS.pack,
        added.success_rates,
        added.sample_counts,
        added.times_of_day,
        added.days_of_week,
        added.content_types,
    )
    for row, (pattern_id, code, fact, genres, contents) in enumerate(
        zip(
            *(added.ids, added.codes, facts, added.genre_hints, added.content_ids),
            strict=True,
        )
    ):
        yield pattern_id
        if code is None:
            yield vectors[row].tobytes()
        else:
            version, sent = code
            yield _CODE.pack(version, len(sent))
            yield sent
        yield fact
        yield _COUNT.pack(len(genres))
        yield from map(_piece_of_name, genres)
        yield _COUNT.pack(len(contents))
        yield from map(_piece_of_name, contents)


# Most TVs name what many do.
@lru_cache(maxsize=16384)
def _piece_of_name(name: str) -> bytes:
    encoded = name.encode()
    return _COUNT.pack(len(encoded)) + encoded


def _columns_of(
    updated: Updates,
) -> tuple[Sequence[bytes], Sequence[float], Sequence[int]]:
    return updated.ids, updated.new_success_rates, updated.additional_samples


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
class Accepted:
    """What became of a delta's entries, as the TV is told."""

    stored: int = 0
    #: Below the quality threshold; not an error.
    filtered: int = 0
    updated: int = 0
    removed: int = 0

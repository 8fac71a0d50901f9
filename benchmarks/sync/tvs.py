"""The TVs of a filled shard, told from their numbers alone.

Ids can be worked out here and in SQL, so nobody has to list them. The first half of
an id is spread over all values, as that of a random one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

#: A step from one number to the next that goes round all values before it repeats.
_STEP = 1_640_531_527
_VALUES = 2**31 - 1

#: Numbers of a TV's patterns are below.
PLACES = 16

#: A TV that syncs updates so many patterns, so it has as many.
UPDATES = 3
ADDITIONS = 2


@dataclass(frozen=True, kw_only=True)
class Population:
    """Who lives on a shard: numbers from 0, those who have synced before first."""

    shard_id: int
    #: TVs that have patterns.
    returning: int
    #: TVs that have enrolled, and never synced.
    new: int
    patterns: int

    def __post_init__(self) -> None:
        if not UPDATES * self.returning <= self.patterns <= PLACES * self.returning:
            raise ValueError(
                f"{self.patterns:,} patterns of {self.returning:,} TVs: a TV has "
                f"{UPDATES} to {PLACES}"
            )

    @property
    def devices(self) -> int:
        return self.returning + self.new


def device_ids(tvs: NDArray[np.int64]) -> NDArray[np.void]:
    """Sixteen bytes for each number of a TV. (n,) -> (n,)"""
    words = np.zeros((len(tvs), 4), dtype=">u4")
    words[:, 0] = tvs * _STEP % _VALUES
    words[:, 2] = tvs >> 32
    words[:, 3] = tvs & 0xFFFFFFFF
    return np.frombuffer(words.tobytes(), "V16")


def number_of(device_id: UUID) -> int:
    """Tell a TV's number from its id."""
    return device_id.int & (2**64 - 1)


def pattern_ids(tvs: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.void]:
    """Sixteen bytes for each pattern, by its TV and its place there. (n,) -> (n,)"""
    return device_ids(tvs * PLACES + places)


def device_id_sql(tv: str) -> str:
    """An SQL expression for the id of a TV, from one for its number."""
    spread = f"lpad(to_hex(({tv})::int8 * {_STEP} % {_VALUES}), 8, '0')"
    return f"({spread} || lpad(to_hex(({tv})::int8), 24, '0'))::uuid"


def pattern_id_sql(tv: str, place: str) -> str:
    """An SQL expression for the id of a pattern."""
    return device_id_sql(f"({tv}) * {PLACES} + {place}")

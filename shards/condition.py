"""How a shard is doing: how full it is, and whether what is known of it is fresh.

The thresholds are here once, for the console, its warnings and its filters.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from shards.models import Shard

#: From here on an operator should plan another shard.
NEARLY_FULL_FRACTION = 0.75
#: From here on it is late.
FULL_FRACTION = 0.90

#: The observer visits every few seconds; silence this long means that it stopped.
OBSERVATION_STALE_AFTER = timedelta(minutes=1)


class Fill(StrEnum):
    ROOMY = "roomy"
    NEARLY_FULL = "nearly-full"
    FULL = "full"


class Sight(StrEnum):
    """What the observer's last visit says, and whether it may still be believed."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    STALE = "stale"
    UNSEEN = "never seen"


def fill_of(used_fraction: float) -> Fill:
    if used_fraction >= FULL_FRACTION:
        return Fill.FULL
    if used_fraction >= NEARLY_FULL_FRACTION:
        return Fill.NEARLY_FULL
    return Fill.ROOMY


def sight_of(shard: Shard, *, now: datetime) -> Sight:
    if shard.observed_at is None:
        return Sight.UNSEEN
    if now - shard.observed_at > OBSERVATION_STALE_AFTER:
        return Sight.STALE
    return Sight.REACHABLE if shard.is_reachable else Sight.UNREACHABLE

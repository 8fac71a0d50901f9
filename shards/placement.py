"""Which shards may take a new TV, best first. No queries: it is given the shards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from shards.models import GLOBAL_REGION, Shard

#: How long the observer's word that a shard is down is believed.
OBSERVATION_LIFETIME = timedelta(minutes=1)


def candidates(shards: Iterable[Shard], *, region: str, now: datetime) -> list[Shard]:
    """Order the shards with room for a TV of ``region``, the roomiest first.

    Shards of region ``global`` take the TVs of every region without a shard of its
    own, whether or not that shard has room. A shard last seen down is tried last.
    """
    shards = list(shards)
    own = [shard for shard in shards if shard.region == region]
    eligible = own or [shard for shard in shards if shard.region == GLOBAL_REGION]
    return sorted(
        (s for s in eligible if s.status == Shard.Status.ACTIVE and s.free_places),
        key=lambda s: (_was_just_seen_down(s, now), -s.free_places, s.id),
    )


def _was_just_seen_down(shard: Shard, now: datetime) -> bool:
    return (
        not shard.is_reachable
        and shard.observed_at is not None
        and now - shard.observed_at < OBSERVATION_LIFETIME
    )

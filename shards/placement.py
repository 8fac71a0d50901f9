"""Which shards may take a new TV, best first. No queries: it is given the shards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shards.condition import Sight, sight_of
from shards.models import GLOBAL_REGION, Shard


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
        key=lambda s: (sight_of(s, now=now) is Sight.UNREACHABLE, -s.free_places, s.id),
    )

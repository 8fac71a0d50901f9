"""How the shards are, for operators: asked of those that are served here."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from shards import reaching, selectors
from shards.databases import served_shard_ids
from shards.models import Shard
from shards.observation import Visitor
from shards.statistics import ShardStatistics


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A shard, and what its TVs do."""

    shard: Shard
    statistics: ShardStatistics
    #: If not, the statistics are what was last seen.
    is_reachable: bool


def standings(shard_id: int | None = None) -> list[Standing]:
    """Ask the shards that this process serves; of others tell what was last seen.

    The same goes for a shard that doesn't answer: it isn't reachable then. ``None``
    asks for all of them.
    """
    with reaching.control():
        if shard_id is None:
            shards = list(Shard.objects.all())
        else:
            shards = [selectors.shard_numbered(shard_id)]
    served = set(served_shard_ids())
    sightings = Visitor().visit(
        [shard.id for shard in shards if shard.id in served], now=timezone.now()
    )
    return [
        Standing(shard=shard, statistics=seen, is_reachable=True)
        if (seen := sightings.get(shard.id)) is not None
        else _last_seen(shard, is_asked=shard.id in sightings)
        for shard in shards
    ]


def _last_seen(shard: Shard, *, is_asked: bool) -> Standing:
    """Repeat what the observer wrote down; a shard that was asked didn't answer."""
    return Standing(
        shard=shard,
        statistics=ShardStatistics(
            total_devices=shard.device_count,
            active_devices=shard.active_device_count,
            patterns_stored=shard.pattern_count,
            sync_requests_per_min=shard.syncs_per_minute,
            avg_sync_latency_ms=shard.mean_latency_ms,
        ),
        is_reachable=shard.is_reachable and not is_asked,
    )

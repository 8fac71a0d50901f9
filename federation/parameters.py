"""All that decides a round's result besides what TVs say, fixed when it opens.

It is written into the round's row, so that whoever goes on with the round, or does a
unit of it, or runs it again, gets the same bits whatever the settings say by then.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from federation import collect, quarantine, selectors
from federation.kernels import LARGEST_HASH, SAMPLE_CAPACITY
from federation.merge import Thresholds
from federation.models import FederationRound
from federation.quarantined import NOTHING, Quarantined
from federation.visits import visits

#: Patterns that pass the limit, in sample capacities, if all that shards store have
#: quality. As long as one capacity passes, the sample is the one of all patterns.
SAMPLE_MARGIN = 1.5


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What a round runs with."""

    thresholds: Thresholds
    #: Those that are asked; all get the result.
    shard_ids: tuple[int, ...]
    #: 64 bits that TVs cannot know.
    seed: int
    #: Patterns whose keyed hash is above it aren't sampled, on any shard.
    hash_limit: int
    #: What was reported later counts for trends; None: everything.
    fresh_since: datetime | None
    #: The round whose cells and history it goes on from.
    previous_round: int | None
    #: What operators have it leave out.
    quarantined: Quarantined = NOTHING

    @classmethod
    def now(cls, shard_ids: Collection[int]) -> Parameters:
        """Take the settings, and how much the shards store, as they are now."""
        last = selectors.last_collecting_round()
        return cls(
            thresholds=thresholds(),
            shard_ids=tuple(sorted(shard_ids)),
            seed=_seed(),
            hash_limit=_hash_limit(shard_ids),
            fresh_since=last.started_at if last else None,
            previous_round=last.pk if last else None,
            quarantined=quarantine.quarantined(),
        )

    @classmethod
    def of(cls, told: FederationRound) -> Parameters:
        """Read those of a round back."""
        written = told.parameters
        fresh_since = written["fresh_since"]
        return cls(
            thresholds=Thresholds(
                **{field.name: written[field.name] for field in fields(Thresholds)}
            ),
            shard_ids=tuple(written["shards"]),
            seed=int.from_bytes(bytes(told.seed), "big"),
            hash_limit=int(written["hash_limit"], 16),
            fresh_since=datetime.fromisoformat(fresh_since) if fresh_since else None,
            previous_round=written["previous_round"],
            quarantined=Quarantined.of(written["quarantined"]),
        )

    def written(self) -> dict[str, Any]:
        """Give the columns of the round's row. Of the seed people see a digest only."""
        seed = self.seed.to_bytes(8, "big")
        return {
            "seed": seed,
            "parameters": {
                **asdict(self.thresholds),
                "shards": list(self.shard_ids),
                "seed_sha256": sha256(seed).hexdigest(),
                "hash_limit": f"{self.hash_limit:016x}",
                "fresh_since": self.fresh_since and self.fresh_since.isoformat(),
                "previous_round": self.previous_round,
                "quarantined": asdict(self.quarantined),
            },
        }


def thresholds() -> Thresholds:
    return Thresholds(
        min_quality=settings.MIN_QUALITY_THRESHOLD,
        min_sources=settings.MIN_SOURCE_COUNT,
        min_devices=settings.MIN_DEVICES_PER_PATTERN,
        min_batches=settings.MIN_BATCHES_PER_PATTERN,
        trend_decay=settings.TREND_DECAY_RATE,
        max_cells=settings.FEDERATION_CELLS,
        epsilon=settings.DP_EPSILON,
        delta=settings.DP_DELTA,
    )


def _seed() -> int:
    """Tell which patterns are sampled: the same in all rounds, and no TV can know."""
    digest = salted_hmac("federation.sampling", b"", algorithm="sha256").digest()
    return int.from_bytes(digest[:8], "big")


def _hash_limit(shard_ids: Collection[int]) -> int:
    """Let about so many patterns pass that together they fill the sample.

    It follows from the sum of the shards' tallies, wherever their TVs are stored.
    """
    stored = sum(
        visit.value or 0 for visit in visits(shard_ids, collect.stored_pattern_count)
    )
    wanted = int(SAMPLE_CAPACITY * SAMPLE_MARGIN)
    if stored <= wanted:
        return LARGEST_HASH
    return LARGEST_HASH * wanted // stored

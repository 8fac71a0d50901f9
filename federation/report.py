"""What is told of a round when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from federation.models import FederationRound, RoundShard

#: Status of a round that only looked.
DRY_RUN = "dry_run"


@dataclass(frozen=True, kw_only=True)
class RoundReport:
    round_id: int | None
    status: str
    #: The version TVs have now: the old one if nothing was published.
    global_version: int
    pattern_count: int
    trend_count: int
    link_count: int
    suppressed_count: int
    suppressed_trend_count: int
    suppressed_link_count: int
    #: What was held back or left out because it doesn't fit the rest, each counted.
    defences: dict[str, int]
    checksum: str
    shards: tuple[RoundShard, ...]
    seconds: float
    #: Empty if all is well.
    problem: str

    @classmethod
    def of(
        cls,
        told: FederationRound,
        shards: Iterable[RoundShard],
        *,
        global_version: int,
        seconds: float,
    ) -> RoundReport:
        return cls(
            round_id=told.pk,
            status=str(told.status),
            global_version=global_version,
            pattern_count=told.pattern_count,
            trend_count=told.trend_count,
            link_count=told.link_count,
            suppressed_count=told.suppressed_count,
            suppressed_trend_count=told.suppressed_trend_count,
            suppressed_link_count=told.suppressed_link_count,
            defences={name: len(rows) for name, rows in told.defences.items()},
            checksum=told.checksum,
            shards=tuple(shards),
            seconds=round(seconds, 3),
            problem=told.problem,
        )

    @property
    def is_published(self) -> bool:
        """Whether a new version is out, be it without some of the shards."""
        return self.status in (
            FederationRound.Status.PUBLISHED,
            FederationRound.Status.PARTIAL,
        )

    def lines(self) -> list[str]:
        """A line a shard and one for the whole, for people."""
        name = "Dry run" if self.round_id is None else f"Round {self.round_id}"
        return [
            *(
                f"{row.shard.name}: {row.get_status_display().lower()}, "
                f"{row.pattern_count} patterns of {row.device_count} TVs"
                + (f" ({row.problem})" if row.problem else "")
                for row in self.shards
            ),
            *(
                f"{count} {name.replace('_', ' ')}"
                for name, count in self.defences.items()
                if count
            ),
            f"{name}: {self.status}, version {self.global_version}, "
            f"{self.pattern_count} global patterns ({self.suppressed_count} held "
            f"back), {self.trend_count} trends, links of {self.link_count} contents, "
            f"{self.seconds:.1f} s",
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "round": self.round_id,
            "status": self.status,
            "global_version": self.global_version,
            "patterns_aggregated": self.pattern_count,
            "trends_detected": self.trend_count,
            "patterns_suppressed": self.suppressed_count,
            "trends_suppressed": self.suppressed_trend_count,
            "links_suppressed": self.suppressed_link_count,
            "defences": self.defences,
            "checksum": self.checksum,
            "shards": [
                {
                    "shard_id": row.shard_id,
                    "status": str(row.status),
                    "devices": row.device_count,
                    "patterns": row.pattern_count,
                    "seconds": round(row.collect_seconds, 3),
                    "problem": row.problem,
                }
                for row in self.shards
            ],
            "seconds": self.seconds,
        }

"""Counts of distinct TVs behind what a round gives out, from the raw patterns."""

from __future__ import annotations

from dataclasses import dataclass, field

from federation.kernels.quantise import pattern_weights


@dataclass(frozen=True)
class Raw:
    """One pattern that counts, as its TV sent it."""

    tv: tuple[int, int]
    shard: int
    batch: int
    cell: int
    weight: int
    codes: dict[str, int]
    genres: frozenset[str]
    contents: frozenset[str]
    is_fresh: bool
    region: str


@dataclass(frozen=True)
class Recount:
    """Naively: a set of TVs for each question."""

    patterns: list[Raw] = field(default_factory=list)

    def add(self, block, cells, *, shard: int, ids) -> None:
        """Take a shard's block, and the row of ``ids`` that is each pattern's cell."""
        weights = pattern_weights(block)
        for row, device in enumerate(block.device_index.tolist()):
            self.patterns.append(
                Raw(
                    tv=(shard, device),
                    shard=shard,
                    batch=int(block.device_batch[device]),
                    cell=int(ids[cells[row]]) if cells[row] >= 0 else -1,
                    weight=int(weights[row]),
                    codes={
                        name: int(getattr(block, name)[row])
                        for name in ("time_of_day", "day_of_week", "content_type")
                    },
                    genres=frozenset(block.genres[row]),
                    contents=frozenset(block.content_ids[row]),
                    is_fresh=bool(block.is_fresh[row]),
                    region=block.device_region[device],
                )
            )

    def in_cell(self, cell: int) -> list[Raw]:
        return [raw for raw in self.patterns if raw.cell == cell and raw.weight > 0]

    def heaviest_share(self, cell: int) -> float:
        """The largest share of a cell's weight that one TV has."""
        by_tv: dict[tuple[int, int], int] = {}
        for raw in self.in_cell(cell):
            by_tv[raw.tv] = by_tv.get(raw.tv, 0) + raw.weight
        return max(by_tv.values()) / sum(by_tv.values())

    def naming(self, item: str, region: str) -> int:
        """TVs that named an item in what they reported afresh."""
        return n_tvs(
            raw
            for raw in self.patterns
            if raw.is_fresh
            and region in ("global", raw.region)
            and (item in raw.contents or item in {f"genre:{g}" for g in raw.genres})
        )

    def with_both(self, one: str, other: str) -> int:
        return len(self._watching(one) & self._watching(other))

    def _watching(self, content: str) -> set[tuple[int, int]]:
        return {raw.tv for raw in self.patterns if content in raw.contents}


def n_tvs(patterns) -> int:
    return len({raw.tv for raw in patterns})

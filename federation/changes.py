"""What changed for TVs between what two rounds published."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, replace
from statistics import median
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Sum

from federation import parts, rows
from federation.exceptions import ResultNotKept
from federation.merge import Outcome
from federation.models import Bundle, FederationRound, Publication, RoundPart
from federation.reading import OUTCOME
from federation.replay import known_round
from federation.result import ResultPattern, RoundResult
from shards import reaching
from shards.databases import CONTROL_ALIAS

Key = TypeVar("Key", bound=Hashable)

#: Vectors whose cosine is less than this below 1 are where they were.
UNMOVED = 1e-6

#: How many of those that moved farthest people are shown.
SHOWN_MOVES = 5


@dataclass(frozen=True)
class Changed:
    """What is there only after, only before, and in both but not the same."""

    added: tuple[Any, ...]
    removed: tuple[Any, ...]
    changed: tuple[Any, ...]
    #: How many there were before, and are after.
    sizes: tuple[int, int]

    @property
    def is_nothing(self) -> bool:
        return not (self.added or self.removed or self.changed)

    def told(self) -> str:
        """For people."""
        return (
            f"{self.sizes[0]} -> {self.sizes[1]}: {len(self.added)} new, "
            f"{len(self.removed)} gone, {len(self.changed)} changed"
        )


@dataclass(frozen=True, kw_only=True)
class Changes:
    """From one round's result to another's."""

    rounds: tuple[int, int]
    versions: tuple[int | None, int | None]
    #: By number of the cell; changed ones tell other contents or circumstances.
    patterns: Changed
    #: Cells in both whose vector moved, and its cosine; the farthest first.
    moved: tuple[tuple[int, float], ...]
    #: By region and item; changed ones rank elsewhere, or are of another kind.
    trends: Changed
    #: By content; changed ones lead to other contents.
    links: Changed
    #: Of all bundles; None where they aren't kept.
    sizes_bytes: tuple[int | None, int | None]

    @property
    def are_none(self) -> bool:
        sections = (self.patterns, self.trends, self.links)
        return not self.moved and all(section.is_nothing for section in sections)

    def lines(self) -> list[str]:
        """For people."""
        old, new = (
            f"round {round_id}" + (f" (version {version})" if version else "")
            for round_id, version in zip(self.rounds, self.versions, strict=True)
        )
        title = f"From {old} to {new}"
        if self.are_none:
            return [f"{title}: nothing changed for TVs."]
        return [
            f"{title}:",
            f"global patterns {self.patterns.told()}, {len(self.moved)} moved",
            *self._moves(),
            f"trends {self.trends.told()}",
            *(f"  in: {item} ({region})" for region, item in self.trends.added[:10]),
            *(f"  out: {item} ({region})" for region, item in self.trends.removed[:10]),
            f"contents with links {self.links.told()}",
            *self._bytes(),
        ]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def _moves(self) -> list[str]:
        if not self.moved:
            return []
        middle = median(cosine for _, cosine in self.moved)
        farthest = ", ".join(
            f"{cell} ({cosine:.3f})" for cell, cosine in self.moved[:SHOWN_MOVES]
        )
        return [f"  median cosine {middle:.4f}; farthest: {farthest}"]

    def _bytes(self) -> list[str]:
        before, after = self.sizes_bytes
        if before is None or after is None:
            return []
        return [f"bundles {before:,} -> {after:,} bytes"]


def changes(old_round: int, new_round: int) -> Changes:
    """Compare what two rounds gave TVs.

    Raises ``RoundUnknown``, ``ResultNotKept`` and ``ControlUnavailable``.
    """
    with reaching.control(), transaction.atomic():
        old, new = known_round(old_round), known_round(new_round)
        before, after = _result_of(old), _result_of(new)
        return Changes(
            rounds=(old.pk, new.pk),
            versions=(old.global_version, new.global_version),
            patterns=_changed(
                {row.cell: _told_of(row) for row in before.patterns},
                {row.cell: _told_of(row) for row in after.patterns},
            ),
            moved=tuple(_moved(before, after)),
            trends=_changed(
                {(row.region, row.item): (row.rank, row.kind) for row in before.trends},
                {(row.region, row.item): (row.rank, row.kind) for row in after.trends},
            ),
            links=_changed(
                {row.content_id: row.related_ids for row in before.links},
                {row.content_id: row.related_ids for row in after.links},
            ),
            sizes_bytes=(_size_bytes(old), _size_bytes(new)),
        )


def _result_of(told: FederationRound) -> RoundResult:
    """What TVs were given, or would have been."""
    version = told.global_version
    if version and Publication.objects.filter(version=version).exists():
        return rows.read_result(CONTROL_ALIAS, version)
    outcome = parts.load(Outcome, told.pk, OUTCOME)
    if outcome is not None:
        return outcome.result
    raise ResultNotKept(round=told.pk, kept=", ".join(map(str, _kept())) or "none")


def _kept() -> list[int]:
    published = Publication.objects.values_list("round_id", flat=True)
    merged = RoundPart.objects.filter(name=OUTCOME).values_list("round_id", flat=True)
    return sorted({*published, *merged})


def _told_of(row: ResultPattern) -> tuple[Any, ...]:
    """What a pattern tells but for its vector and the counts behind it."""
    return astuple(
        replace(
            row,
            success_rate=0.0,
            sample_count=0,
            mass=0.0,
            device_count=0,
            batch_count=0,
        )
    )


def _moved(before: RoundResult, after: RoundResult) -> Iterable[tuple[int, float]]:
    places = {row.cell: place for place, row in enumerate(before.patterns)}
    moves = []
    for place, row in enumerate(after.patterns):
        if row.cell in places:
            old = before.embeddings[places[row.cell]]
            cosine = float(old.astype("f8") @ after.embeddings[place].astype("f8"))
            if cosine < 1 - UNMOVED:
                moves.append((row.cell, round(cosine, 6)))
    return sorted(moves, key=lambda move: (move[1], move[0]))


def _changed(before: Mapping[Key, object], after: Mapping[Key, object]) -> Changed:
    return Changed(
        added=tuple(key for key in after if key not in before),
        removed=tuple(key for key in before if key not in after),
        changed=tuple(
            key for key in after if key in before and before[key] != after[key]
        ),
        sizes=(len(before), len(after)),
    )


def _size_bytes(told: FederationRound) -> int | None:
    kept = Bundle.objects.filter(version=told.global_version or 0)
    total: int | None = kept.aggregate(total=Sum("size_bytes"))["total"]
    return total

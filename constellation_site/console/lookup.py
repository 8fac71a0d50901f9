"""One TV, for an operator: the one page that visits a shard, and only its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from federation import selectors as federation_selectors
from federation.models import GlobalPattern
from patterns.display import context_words, titles_of
from patterns.models import Pattern
from patterns.selectors import patterns_of
from shards import reaching
from shards.exceptions import ShardUnavailable
from shards.models import Device, DeviceHome


@dataclass(frozen=True, kw_only=True)
class PatternRow:
    pattern: Pattern
    words: list[str]
    #: Titles where the catalogue knows them, else content ids.
    titles: list[str]
    #: The row of the global pattern that it belongs to, if that is published.
    global_pattern_id: int | None


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What the TV's shard says of it."""

    is_reachable: bool = True
    #: None if it enrolled half, or was forgotten on the shard.
    device: Device | None = None
    #: The publication that its shard answers with.
    global_version: int = 0
    rows: list[PatternRow] = field(default_factory=list)


def home_of(device_id: UUID) -> DeviceHome | None:
    return (
        DeviceHome.objects.select_related("shard", "batch").filter(pk=device_id).first()
    )


def look_at(home: DeviceHome) -> Sighting:
    """Ask the TV's shard; one that doesn't answer is said, not raised."""
    alias = home.shard.alias
    try:
        with reaching.shard(home.shard_id):
            device = Device.objects.using(alias).filter(pk=home.device_id).first()
            if device is None:
                return Sighting()
            patterns = list(patterns_of(alias, home.device_id).defer("embedding"))
            version = federation_selectors.current_version(alias)
    except ShardUnavailable:
        return Sighting(is_reachable=False)
    return Sighting(device=device, global_version=version, rows=_rows(patterns))


def _rows(patterns: list[Pattern]) -> list[PatternRow]:
    titles = titles_of(item for pattern in patterns for item in pattern.content_ids)
    published: dict[int | None, int] = dict(
        GlobalPattern.objects.filter(
            version=federation_selectors.current_version(),
            cell__in={p.cell for p in patterns if p.cell is not None},
        ).values_list("cell", "pk")
    )
    return [
        PatternRow(
            pattern=pattern,
            words=context_words(pattern),
            titles=[titles.get(item, item) for item in pattern.content_ids],
            global_pattern_id=published.get(pattern.cell),
        )
        for pattern in patterns
    ]

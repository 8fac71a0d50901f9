"""A sync as JSON. Other wire formats stand beside this module, not in it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings

from patterns.context import (
    CONTENT_ID_LENGTH,
    CONTENT_IDS_LIMIT,
    GENRE_HINTS_LIMIT,
    GENRE_LENGTH,
    ContentType,
    DayOfWeek,
    TimeOfDay,
)
from patterns.delta import Context, Delta, PatternAddition, PatternUpdate
from patterns.exceptions import TooManyPatterns
from sync import fields
from sync.messages import GlobalNews, SyncReply, SyncRequest
from sync.renderers import dumps

_LISTS = ("patterns_added", "patterns_updated", "patterns_removed")


def read_request(document: Any) -> SyncRequest:
    """Validate a parsed body. Fields that nobody knows are ignored."""
    body = fields.obj(document, "body")
    return SyncRequest(
        device_id=fields.uuid(body.get("device_id"), "device_id"),
        delta=_delta(
            fields.obj(body.get("delta"), "delta"),
            base_version=_version_or_none(body, "base_version"),
        ),
        global_version=_version_or_none(body, "global_version"),
    )


def write_reply(reply: SyncReply) -> bytes:
    accepted = reply.accepted
    return dumps(
        {
            "global": {
                **({} if reply.news is None else _news(reply.news)),
                "global_version": reply.global_version,
            },
            "accepted": {
                "stored": accepted.stored,
                "filtered": accepted.filtered,
                "updated": accepted.updated,
                "removed": accepted.removed,
            },
            "local_version": reply.local_version,
            "resync": reply.resync,
            "next_sync_seconds": reply.next_sync_seconds,
        }
    )


def _news(news: GlobalNews) -> dict[str, Any]:
    return {
        "similar": news.similar,
        "trending": [
            {
                "content_id": trend.item,
                "trending_score": trend.score,
                "region": trend.region,
            }
            for trend in news.trending
        ],
        "links": [
            {"content_id": links.content_id, "related": links.related}
            for links in news.links
        ],
    }


def _delta(document: Any, *, base_version: int | None) -> Delta:
    added, updated, removed = (
        fields.items(document.get(name), f"delta.{name}") for name in _LISTS
    )
    _check_count(len(added) + len(updated) + len(removed))
    local_version = fields.whole_number(
        document.get("local_version"),
        "delta.local_version",
        at_least=0,
        at_most=fields.VERSION_MAX,
    )
    return Delta(
        added=_additions(added),
        updated=_updates(updated),
        removed=_removals(removed),
        local_version=local_version,
        base_version=base_version,
    )


def _check_count(count: int) -> None:
    limit = settings.PATTERNS_PER_SYNC
    if count > limit:
        raise TooManyPatterns(
            field="delta",
            problem=f"its lists name {count} patterns",
            accepted=f"at most {limit} in the three lists together",
            limit=limit,
            limit_name="patterns_per_sync",
        )


def _additions(documents: list[Any]) -> tuple[PatternAddition, ...]:
    paths = [f"delta.patterns_added[{i}]" for i in range(len(documents))]
    objects = [fields.obj(d, path) for d, path in zip(documents, paths, strict=True)]
    vectors = fields.embeddings(
        [d.get("embedding") for d in objects], [f"{path}.embedding" for path in paths]
    )
    additions = tuple(
        _addition(document, vector, path)
        for document, vector, path in zip(objects, vectors, paths, strict=True)
    )
    _check_distinct([addition.id for addition in additions], paths)
    return additions


def _addition(document: Any, vector: Any, path: str) -> PatternAddition:
    for name in ("created_at", "updated_at"):
        # Checked, then forgotten: the clocks of TVs order nothing.
        fields.seconds(document.get(name), f"{path}.{name}")
    return PatternAddition(
        id=fields.uuid(document.get("id"), f"{path}.id"),
        embedding=vector,
        success_rate=fields.fraction(
            document.get("success_rate"), f"{path}.success_rate"
        ),
        sample_count=fields.whole_number(
            document.get("sample_count"),
            f"{path}.sample_count",
            at_least=1,
            at_most=fields.SAMPLES_MAX,
        ),
        context=_context(document.get("context"), f"{path}.context"),
    )


def _context(value: Any, path: str) -> Context:
    if value is None:
        return Context()
    document = fields.obj(value, path)
    return Context(
        time_of_day=fields.choice(
            document.get("time_of_day"), f"{path}.time_of_day", TimeOfDay
        ),
        day_of_week=fields.choice(
            document.get("day_of_week"), f"{path}.day_of_week", DayOfWeek
        ),
        content_type=fields.choice(
            document.get("content_type"), f"{path}.content_type", ContentType
        ),
        genre_hints=fields.texts(
            document.get("genre_hints"),
            f"{path}.genre_hints",
            at_most=GENRE_HINTS_LIMIT,
            length=GENRE_LENGTH,
        ),
        content_ids=fields.texts(
            document.get("content_ids"),
            f"{path}.content_ids",
            at_most=CONTENT_IDS_LIMIT,
            length=CONTENT_ID_LENGTH,
        ),
    )


def _updates(documents: list[Any]) -> tuple[PatternUpdate, ...]:
    paths = [f"delta.patterns_updated[{i}]" for i in range(len(documents))]
    updates = tuple(
        _update(fields.obj(document, path), path)
        for document, path in zip(documents, paths, strict=True)
    )
    _check_distinct([update.id for update in updates], paths)
    return updates


def _update(document: Any, path: str) -> PatternUpdate:
    return PatternUpdate(
        id=fields.uuid(document.get("id"), f"{path}.id"),
        new_success_rate=fields.fraction(
            document.get("new_success_rate"), f"{path}.new_success_rate"
        ),
        additional_samples=fields.whole_number(
            document.get("additional_samples"),
            f"{path}.additional_samples",
            at_least=0,
            at_most=fields.SAMPLES_MAX,
        ),
    )


def _removals(documents: list[Any]) -> tuple[UUID, ...]:
    paths = [f"delta.patterns_removed[{i}]" for i in range(len(documents))]
    ids = [fields.uuid(d, path) for d, path in zip(documents, paths, strict=True)]
    fields.distinct(ids, paths)
    return tuple(ids)


def _check_distinct(ids: list[UUID], paths: list[str]) -> None:
    fields.distinct(ids, (f"{path}.id" for path in paths))


def _version_or_none(body: Any, name: str) -> int | None:
    if body.get(name) is None:
        return None
    return fields.whole_number(body[name], name, at_least=0, at_most=fields.VERSION_MAX)

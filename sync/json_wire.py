"""What TVs send and hear, as JSON. Other wire formats stand beside this module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from federation.publication import LoadedPublication
from patterns.context import ContentType, DayOfWeek, TimeOfDay
from patterns.delta import Additions, Delta, Updates
from sync import answer, fields, rows, rules
from sync.current import PublicationSource
from sync.embeddings import EmbeddingEncoding
from sync.messages import (
    EnrolmentReply,
    EnrolmentRequest,
    GlobalNews,
    ReplyDetail,
    SyncReply,
    SyncRequest,
    Wishes,
)
from sync.renderers import JsonRenderer, dumps
from sync.rows import Addition, Context, Update

media_type = JsonRenderer.media_type

_LISTS = ("patterns_added", "patterns_updated", "patterns_removed")


def read_sync(document: Any, source: PublicationSource) -> SyncRequest:
    """Validate a parsed body. Fields that nobody knows are ignored."""
    body = fields.obj(document, "body")
    global_version = rules.version_or_none(body.get("global_version"), "global_version")
    return SyncRequest(
        device_id=fields.uuid(body.get("device_id"), "device_id"),
        delta=_delta(
            fields.obj(body.get("delta"), "delta"),
            base_version=rules.version_or_none(
                body.get("base_version"), "base_version"
            ),
        ),
        global_version=global_version,
        wishes=_wishes(body, partial(source, global_version or 0)),
    )


def write_sync(reply: SyncReply, _wishes: Wishes) -> bytes:
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


def is_dense(_wishes: Wishes) -> bool:
    """Text shrinks."""
    return False


def read_enrolment(document: Any) -> EnrolmentRequest:
    """Check a request to enrol; what is optional may be left out or null."""
    body = fields.obj(document, "body")
    return EnrolmentRequest(
        enrolment_key=rules.enrolment_key(body.get("enrolment_key")),
        device_id=(
            None
            if body.get("device_id") is None
            else fields.uuid(body["device_id"], "device_id")
        ),
        region=rules.region(body.get("region")),
        model=rules.label(body.get("model"), "model"),
        firmware=rules.label(body.get("firmware"), "firmware"),
    )


def write_enrolment(reply: EnrolmentReply) -> bytes:
    return dumps(
        {
            "device_id": reply.device_id,
            "token": reply.token,
            "token_expires_at": reply.token_expires_at,
            "shard_id": reply.shard_id,
            "sync_url": reply.sync_url,
            "grpc_target": reply.grpc_target,
            "global_version": reply.global_version,
            "next_sync_seconds": reply.next_sync_seconds,
        }
    )


def _wishes(body: Any, publication: Callable[[], LoadedPublication]) -> Wishes:
    """Read what matters only if the reply is binary, and is checked all the same."""
    field = "embedding_encodings"
    names = fields.items(body.get(field), field, at_most=rules.PREFERENCES_LIMIT)
    codebook_version = body.get("codebook_version")
    if codebook_version is None:
        codebook_version = 0
    return rules.wishes(
        preferences=[
            fields.choice(name, f"{field}[{i}]", EmbeddingEncoding)
            for i, name in enumerate(names)
        ],
        detail=fields.choice(body.get("detail"), "detail", ReplyDetail),
        codebook_version=codebook_version,
        has_codebook=lambda: publication().codebooks.get(codebook_version) is not None,
    )


def _news(news: GlobalNews) -> dict[str, Any]:
    publication = news.publication
    return {
        "similar": [publication.patterns[row] for row in news.similar.tolist()],
        "trending": [
            {
                "content_id": trend.item,
                "trending_score": trend.score,
                "region": trend.region,
            }
            for trend in answer.trending(publication, news.region)
        ],
        "links": [
            {"content_id": content_id, "related": publication.links[content_id]}
            for content_id in news.linked
        ],
    }


def _delta(document: Any, *, base_version: int | None) -> Delta:
    added, updated, removed = (
        fields.items(document.get(name), f"delta.{name}") for name in _LISTS
    )
    rules.check_pattern_count(len(added) + len(updated) + len(removed))
    local_version = rules.version(document.get("local_version"), "delta.local_version")
    return Delta(
        added=_additions(added),
        updated=_updates(updated),
        removed=_removals(removed),
        local_version=local_version,
        base_version=base_version,
    )


def _additions(documents: list[Any]) -> Additions:
    paths = [f"delta.patterns_added[{i}]" for i in range(len(documents))]
    objects = [fields.obj(d, path) for d, path in zip(documents, paths, strict=True)]
    vectors = fields.embeddings(
        [d.get("embedding") for d in objects], [f"{path}.embedding" for path in paths]
    )
    read = [_addition(d, path) for d, path in zip(objects, paths, strict=True)]
    return rows.additions(read, vectors, [None] * len(read), paths)


def _addition(document: Any, path: str) -> Addition:
    for name in ("created_at", "updated_at"):
        # Checked, then forgotten: the clocks of TVs order nothing.
        fields.seconds(document.get(name), f"{path}.{name}")
    return Addition(
        id=fields.uuid(document.get("id"), f"{path}.id").bytes,
        success_rate=fields.fraction(
            document.get("success_rate"), f"{path}.success_rate"
        ),
        sample_count=rules.sample_count(document.get("sample_count"), path),
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
        genre_hints=rules.genre_hints(document.get("genre_hints"), path),
        content_ids=rules.content_ids(document.get("content_ids"), path),
    )


def _updates(documents: list[Any]) -> Updates:
    paths = [f"delta.patterns_updated[{i}]" for i in range(len(documents))]
    read = [
        _update(fields.obj(document, path), path)
        for document, path in zip(documents, paths, strict=True)
    ]
    return rows.updates(read, paths)


def _update(document: Any, path: str) -> Update:
    return Update(
        id=fields.uuid(document.get("id"), f"{path}.id").bytes,
        new_success_rate=fields.fraction(
            document.get("new_success_rate"), f"{path}.new_success_rate"
        ),
        additional_samples=rules.additional_samples(
            document.get("additional_samples"), path
        ),
    )


def _removals(documents: list[Any]) -> list[bytes]:
    paths = [f"delta.patterns_removed[{i}]" for i in range(len(documents))]
    ids = [fields.uuid(d, path).bytes for d, path in zip(documents, paths, strict=True)]
    fields.distinct(ids, paths)
    return ids

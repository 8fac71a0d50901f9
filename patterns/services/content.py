"""Writes to the catalogue of contents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from patterns.models import Content
from patterns.services.items import register_within
from patterns.vectors import unit_rows
from shards.databases import CONTROL_ALIAS

_MUTABLE_FIELDS = ["title", "embedding", "genres", "year", "duration_min", "updated_at"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ContentItem:
    """One content as an operator describes it."""

    content_id: str
    title: str
    #: Any length but zero. shape: (384,)
    embedding: NDArray[np.float32]
    genres: tuple[str, ...] = ()
    year: int | None = None
    duration_min: int | None = None


def upsert_contents(items: Sequence[ContentItem]) -> list[Content]:
    """Add contents, or replace what is known of them; all or none.

    A content keeps its ordinal for ever, its item's. Writers take turns, so that
    positions appear in their order: a TV that has read up to one never misses a lower
    one, however long ago a round gave the content its ordinal.
    """
    if not items:
        return []
    embeddings = unit_rows(np.stack([item.embedding for item in items]))
    content_ids = [item.content_id for item in items]
    with transaction.atomic(using=CONTROL_ALIAS):
        registered = register_within(content_ids)
        now = timezone.now()
        contents = [
            Content(
                ordinal=registered.ordinals[item.content_id],
                content_id=item.content_id,
                title=item.title,
                embedding=embedding,
                genres=list(item.genres),
                year=item.year,
                duration_min=item.duration_min,
                updated_at=now,
            )
            for item, embedding in zip(items, embeddings, strict=True)
        ]
        _save(contents, registered.new)
    return contents


def _save(contents: Sequence[Content], new_items: Collection[str]) -> None:
    known_ids = set(
        Content.objects.filter(
            content_id__in=[content.content_id for content in contents]
        ).values_list("content_id", flat=True)
    )
    for content in contents:
        if content.content_id in new_items:
            content.position = content.ordinal
    known = [content for content in contents if content.content_id in known_ids]
    new = [content for content in contents if content.content_id not in known_ids]
    Content.objects.bulk_update(known, fields=_MUTABLE_FIELDS)
    Content.objects.bulk_create(new)

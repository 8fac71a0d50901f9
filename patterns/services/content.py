"""Writes to the catalogue of contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db import connections, transaction
from django.utils import timezone
from numpy.typing import NDArray

from patterns.models import Content
from patterns.vectors import unit_rows
from shards.databases import CONTROL_ALIAS

_MUTABLE_FIELDS = ["title", "embedding", "genres", "year", "duration_min", "updated_at"]

#: "cata", for people who look at pg_locks.
_CATALOGUE_LOCK = 0x63617461


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

    A content keeps its ordinal for ever. Writers take turns, so that ordinals appear
    in their order: a TV that has read up to one will never miss a lower one.
    """
    if not items:
        return []
    embeddings = unit_rows(np.stack([item.embedding for item in items]))
    with transaction.atomic(using=CONTROL_ALIAS):
        _take_turns()
        ordinals = dict(
            Content.objects.filter(
                content_id__in=[item.content_id for item in items]
            ).values_list("content_id", "ordinal")
        )
        now = timezone.now()
        contents = [
            Content(
                ordinal=ordinals.get(item.content_id),
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
        known = [content for content in contents if content.ordinal is not None]
        Content.objects.bulk_update(known, fields=_MUTABLE_FIELDS)
        Content.objects.bulk_create([c for c in contents if c.ordinal is None])
    return contents


def _take_turns() -> None:
    """Wait for other writers of the catalogue, until the transaction ends."""
    with connections[CONTROL_ALIAS].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CATALOGUE_LOCK])

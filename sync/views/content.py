"""``/api/v1/content``: the catalogue, written by operators and read by TVs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import numpy as np
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from numpy.typing import NDArray
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from patterns import selectors
from patterns.context import GENRE_HINTS_LIMIT, GENRE_LENGTH
from patterns.models import Content
from patterns.services import content as contents
from patterns.services.content import ContentItem
from patterns.vectors import as_array
from shards import reaching
from sync import fields, replies, rules
from sync.authentication import callers
from sync.renderers import dumps
from sync.views.door import DoorViewSet

#: As many as fit into the body limit with all their vectors.
CONTENTS_PER_REQUEST = 100

PAGE_SIZE = 100
PAGE_SIZE_MAX = 500

#: What was said of a content rarely changes, and what is new may wait.
MAX_AGE = timedelta(minutes=5)

TITLE_LENGTH = 255
YEAR_MAX = 9999
DURATION_MAX_MIN = 10_000


class MayWriteContent(BasePermission):
    """TVs and operators read; who may add and change contents writes."""

    def has_permission(self, request: Request, _view: APIView) -> bool:
        if not request.user.is_authenticated:
            return False
        return request.method in SAFE_METHODS or request.user.has_perms(
            ["patterns.add_content", "patterns.change_content"]
        )


class ContentViewSet(DoorViewSet):
    authentication_classes = callers()
    permission_classes = [MayWriteContent]

    def list(self, request: Request) -> HttpResponseBase:
        after = _query_number(
            request, "after", 0, at_least=0, at_most=fields.VERSION_MAX
        )
        limit = _query_number(
            request, "limit", PAGE_SIZE, at_least=1, at_most=PAGE_SIZE_MAX
        )
        with reaching.control():
            page = selectors.contents_after(after, limit=limit)
        body = dumps(
            {
                "content": [_in_full(content) for content in page],
                # Null when this page is the last one, for now.
                "next_after": page[-1].position if len(page) == limit else None,
            }
        )
        return replies.cacheable_json(request, body, max_age=MAX_AGE)

    def create(self, request: Request) -> HttpResponse:
        document: Any = request.data
        if isinstance(document, list):
            items = _read_items(document)
        else:
            items = _read_items([document], prefixes=[""])
        with reaching.control():
            stored = contents.upsert_contents(items)
        shown = [_in_short(content) for content in stored]
        return replies.json(
            request,
            dumps({"content": shown} if isinstance(document, list) else shown[0]),
            status=HTTPStatus.CREATED,
        )


def _in_short(content: Content) -> dict[str, Any]:
    return {
        "ordinal": content.ordinal,
        "content_id": content.content_id,
        "title": content.title,
        "metadata": {
            "genre": content.genres,
            "year": content.year,
            "duration_min": content.duration_min,
        },
    }


def _in_full(content: Content) -> dict[str, Any]:
    return _in_short(content) | {"embedding": as_array(content.embedding)}


def _query_number(
    request: Request, name: str, default: int, *, at_least: int, at_most: int
) -> int:
    value = request.query_params.get(name)
    if value is None:
        return default
    # 19 digits are enough for any version; more would only cost time.
    is_number = value.isascii() and value.isdigit() and len(value) <= 19
    return fields.whole_number(
        int(value) if is_number else value, name, at_least=at_least, at_most=at_most
    )


def _read_items(
    documents: list[Any], prefixes: Sequence[str] | None = None
) -> list[ContentItem]:
    fields.items(documents, "body", at_most=CONTENTS_PER_REQUEST)
    if prefixes is None:
        prefixes = [f"[{i}]." for i in range(len(documents))]
    objects = [
        fields.obj(document, prefix.rstrip(".") or "body")
        for document, prefix in zip(documents, prefixes, strict=True)
    ]
    vectors = fields.embeddings(
        [document.get("embedding") for document in objects],
        [f"{prefix}embedding" for prefix in prefixes],
    )
    items = [
        _read_item(document, vector, prefix)
        for document, vector, prefix in zip(objects, vectors, prefixes, strict=True)
    ]
    fields.distinct(
        [item.content_id for item in items],
        (f"{prefix}content_id" for prefix in prefixes),
    )
    return items


def _read_item(
    document: Mapping[str, Any], embedding: NDArray[np.float32], prefix: str
) -> ContentItem:
    metadata = document.get("metadata")
    about = {} if metadata is None else fields.obj(metadata, f"{prefix}metadata")
    return ContentItem(
        content_id=rules.content_id(document.get("content_id"), f"{prefix}content_id"),
        title=fields.text(
            document.get("title"), f"{prefix}title", at_most=TITLE_LENGTH
        ),
        embedding=embedding,
        genres=_genres(about.get("genre"), f"{prefix}metadata.genre"),
        year=_number_or_none(about, "year", prefix, at_most=YEAR_MAX),
        duration_min=_number_or_none(
            about, "duration_min", prefix, at_most=DURATION_MAX_MIN
        ),
    )


def _genres(value: Any, field: str) -> tuple[str, ...]:
    """Read one genre or a list of them."""
    if isinstance(value, str):
        return (fields.text(value, field, at_most=GENRE_LENGTH),)
    return fields.texts(value, field, at_most=GENRE_HINTS_LIMIT, length=GENRE_LENGTH)


def _number_or_none(
    metadata: Mapping[str, Any], name: str, prefix: str, *, at_most: int
) -> int | None:
    if metadata.get(name) is None:
        return None
    return fields.whole_number(
        metadata[name], f"{prefix}metadata.{name}", at_least=1, at_most=at_most
    )

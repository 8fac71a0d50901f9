"""``GET /api/v1/info``: what this server is, and every limit it enforces."""

from __future__ import annotations

import base64
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from federation import selectors
from federation.bundles import serving
from patterns.context import (
    CONTENT_ID_LENGTH,
    CONTENT_IDS_LIMIT,
    GENRE_HINTS_LIMIT,
    GENRE_LENGTH,
)
from patterns.vectors import EMBEDDING_DIMENSIONS
from shards import reaching
from shards.databases import CONTROL_ALIAS
from shards.exceptions import ControlUnavailable
from sync import encodings, fields, pacing, parsers, replies
from sync.embeddings import EmbeddingEncoding
from sync.protobuf import counting
from sync.renderers import JsonRenderer, ProtobufRenderer, dumps
from sync.version import VERSION
from sync.views.content import CONTENTS_PER_REQUEST
from sync.views.door import DoorViewSet


class InfoViewSet(DoorViewSet):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    def list(self, request: Request) -> HttpResponse:
        return replies.json(request, dumps(_info()))


def _info() -> dict[str, Any]:
    earliest, latest = pacing.NEXT_SYNC_SECONDS
    return {
        "name": "Constellation",
        "version": VERSION,
        **_published(),
        "media_types": [JsonRenderer.media_type, ProtobufRenderer.media_type],
        "embedding_encodings": [each.label for each in EmbeddingEncoding if each],
        "encodings": [*encodings.ACCEPTED_ENCODINGS, "identity"],
        "limits": {
            "body_bytes": settings.BODY_LIMIT_BYTES,
            "inflated_bytes": settings.INFLATED_LIMIT_BYTES,
            "zstd_window_bytes": encodings.ZSTD_WINDOW_LIMIT_BYTES,
            "depth": parsers.DEPTH_LIMIT,
            "fields": counting.fields_limit(),
            "patterns_per_sync": settings.PATTERNS_PER_SYNC,
            "patterns_per_device": settings.PATTERNS_PER_DEVICE,
            "content_ids_per_pattern": CONTENT_IDS_LIMIT,
            "content_id_length": CONTENT_ID_LENGTH,
            "genre_hints_per_pattern": GENRE_HINTS_LIMIT,
            "genre_hint_length": GENRE_LENGTH,
            "embedding_dimensions": EMBEDDING_DIMENSIONS,
            "embedding_norm_min": fields.NORM_MIN,
            "embedding_norm_max": fields.NORM_MAX,
            "contents_per_request": CONTENTS_PER_REQUEST,
        },
        "quality_threshold": settings.QUALITY_THRESHOLD,
        "federation": {
            "min_quality_threshold": settings.MIN_QUALITY_THRESHOLD,
            "min_devices_per_pattern": settings.MIN_DEVICES_PER_PATTERN,
            "min_source_count": settings.MIN_SOURCE_COUNT,
            "interval_seconds": settings.FEDERATION_INTERVAL_SECS,
        },
        "next_sync_seconds": {"min": earliest, "max": latest},
    }


def _published() -> dict[str, Any]:
    """Null while the control database is down: the limits hold all the same."""
    try:
        with reaching.control():
            return {
                "global_version": selectors.current_version(),
                "bundle_keys": [
                    {
                        "key_id": key.key_id,
                        "public_key": base64.b64encode(key.raw).decode(),
                        "status": key.status.label,
                    }
                    for key in serving.announced_keys(CONTROL_ALIAS)
                ],
            }
    except ControlUnavailable:
        return {"global_version": None, "bundle_keys": None}

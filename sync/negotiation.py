"""Which format a caller can read: the Accept header with its q-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from sync.encodings import quality_values


class QualityNegotiation(DefaultContentNegotiation):
    """Django REST framework's own takes ``application/json;q=0`` for a wish."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        _format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        available: Sequence[BaseRenderer] = list(renderers)
        if request.method == "OPTIONS":  # it describes a view, in JSON
            available = available[:1]
        accept = request.headers.get("Accept", "") or "*/*"
        weights = quality_values(accept)
        # Of formats that are equally welcome, the one the caller writes itself.
        sent = (request.content_type or "").partition(";")[0].strip().lower()
        best = max(
            available,
            key=lambda r: (_weight(weights, r.media_type), r.media_type == sent),
        )
        if _weight(weights, best.media_type) == 0:
            raise NotAcceptable(available_renderers=available)
        return best, best.media_type


def _weight(weights: dict[str, float], media_type: str) -> float:
    """The weight of the most specific range that matches."""
    whole_type = media_type.partition("/")[0] + "/*"
    for media_range in (media_type, whole_type, "*/*"):
        if media_range in weights:
            return weights[media_range]
    return 0.0

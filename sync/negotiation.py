"""Which format a caller can read: the Accept header with its q-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

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
        best = best_media_type(
            tuple(renderer.media_type for renderer in available),
            accept=request.headers.get("Accept", ""),
            content_type=request.content_type or "",
        )
        if best is None:
            raise NotAcceptable(available_renderers=available)
        return next(r for r in available if r.media_type == best), best


# TVs of one make all say the same.
@lru_cache(maxsize=1024)
def best_media_type(
    available: tuple[str, ...], *, accept: str, content_type: str
) -> str | None:
    """Choose what an answer is written in; None if the caller reads none of them.

    Of formats that are equally welcome, it is the one the caller writes itself.
    """
    weights = quality_values(accept or "*/*")
    sent = bare(content_type)
    best = max(available, key=lambda name: (_weight(weights, name), name == sent))
    return best if _weight(weights, best) > 0 else None


def bare(content_type: str) -> str:
    """Give the media type of a Content-Type, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _weight(weights: dict[str, float], media_type: str) -> float:
    """The weight of the most specific range that matches."""
    whole_type = media_type.partition("/")[0] + "/*"
    for media_range in (media_type, whole_type, "*/*"):
        if media_range in weights:
            return weights[media_range]
    return 0.0

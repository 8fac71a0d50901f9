"""``/api/v1/schema`` and ``/api/v1/docs``: the API, described."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from sync import fields, replies
from sync.schema.document import document
from sync.views.door import DoorViewSet

#: It changes with the server's version only.
MAX_AGE = timedelta(minutes=5)

FORMATS = {"json": "application/json", "yaml": "application/yaml"}

#: JSON for who doesn't mind, as everywhere else.
RENDERERS: list[type[BaseRenderer]] = [
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer2,
    OpenApiJsonRenderer,
    OpenApiYamlRenderer,
]


class SchemaViewSet(DoorViewSet):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    renderer_classes = RENDERERS

    def retrieve(self, request: Request) -> HttpResponseBase:
        media_type = _asked_for(request)
        return replies.cacheable_json(
            request, _rendered(media_type), max_age=MAX_AGE, media_type=media_type
        )


class SchemaPage(SpectacularSwaggerView):
    """Swagger UI, from the package; it loads nothing from anywhere else."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]


def _asked_for(request: Request) -> str:
    """Give what ``?format=`` names, or else what the Accept header likes best."""
    name = request.query_params.get("format")
    if name is None:
        return str(request.accepted_renderer.media_type)
    if name not in FORMATS:
        fields.refuse("format", "not one of the names", ", ".join(FORMATS))
    return FORMATS[name]


@cache
def _rendered(media_type: str) -> bytes:
    (renderer,) = (each for each in RENDERERS if each.media_type == media_type)
    body = renderer().render(document(), renderer_context={})
    assert isinstance(body, bytes)
    return body

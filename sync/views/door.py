"""What all views of the API share: formats in and out, and how a body is read."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSetMixin

from sync.negotiation import QualityNegotiation
from sync.parsers import JsonParser, OldProtobufParser, ProtobufParser
from sync.renderers import JsonRenderer, OldProtobufRenderer, ProtobufRenderer


class DoorRequest(Request):
    """Reads its body whether or not a Content-Length announced it."""

    def _load_stream(self) -> None:
        # The parser reads it through Django, and stops at the limit.
        self._stream: Any = self._request


class _DoorView(APIView):
    parser_classes = [JsonParser]
    renderer_classes = [JsonRenderer]
    content_negotiation_class = QualityNegotiation

    def initialize_request(
        self, request: HttpRequest, *_args: Any, **_kwargs: Any
    ) -> Request:
        return DoorRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )


class DoorViewSet(ViewSetMixin, _DoorView):
    """The base of every viewset of the API."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.action is None:
            # No token would help, so none is asked for.
            self.http_method_not_allowed(request)
        super().initial(request, *args, **kwargs)


class TvDoorViewSet(DoorViewSet):
    """The base of those that TVs reach in JSON and in protobuf."""

    parser_classes = [JsonParser, ProtobufParser, OldProtobufParser]
    # The first is for whoever has no wish, and the only one for OPTIONS.
    renderer_classes = [JsonRenderer, ProtobufRenderer, OldProtobufRenderer]

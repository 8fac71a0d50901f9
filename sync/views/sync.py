"""``/api/v1/sync`` as Django sees it; ``sync/front_door.py`` answers the POST."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sync import front_door
from sync.authentication import IsDevice, OnlyDeviceAuthentication
from sync.views.door import TvDoorViewSet


class SyncViewSet(TvDoorViewSet):
    authentication_classes = [OnlyDeviceAuthentication]
    permission_classes = [IsDevice]

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        if request.method == "POST":
            return self.create(request)
        return super().dispatch(request, *args, **kwargs)

    def create(self, request: HttpRequest) -> HttpResponse:
        reply = front_door.answer(request.META)
        return HttpResponse(
            reply.body, status=reply.status, headers=dict(reply.headers)
        )

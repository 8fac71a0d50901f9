"""``POST /api/v1/sync``: what a TV learned in, what everyone learned out."""

from __future__ import annotations

import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from sync import json_wire, load, problems, replies, service
from sync.authentication import (
    IsDevice,
    OnlyDeviceAuthentication,
    check_shard_is_served,
    device_token,
)
from sync.exceptions import Overloaded
from sync.views.door import DoorViewSet


class SyncViewSet(DoorViewSet):
    authentication_classes = [OnlyDeviceAuthentication]
    permission_classes = [IsDevice]

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        self.started = time.perf_counter()
        try:
            with load.admitted():
                return super().dispatch(request, *args, **kwargs)
        except Overloaded as exc:
            return problems.response(exc)

    def create(self, request: Request) -> HttpResponse:
        # All of this before the body is read.
        token = device_token(request)
        check_shard_is_served(token)

        message = json_wire.read_request(request.data)
        reply = service.sync(token, message, started=self.started)
        return replies.json(request, json_wire.write_reply(reply))

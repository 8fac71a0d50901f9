"""``POST /api/v1/sync``: what a TV learned in, what everyone learned out."""

from __future__ import annotations

import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from shards.exceptions import ConstellationError
from sync import load, metrics, parsers, problems, replies, service, wires
from sync.authentication import (
    IsDevice,
    OnlyDeviceAuthentication,
    check_shard_is_served,
    device_token,
)
from sync.exceptions import Overloaded
from sync.problems import ProblemResponse
from sync.views.door import TvDoorViewSet


class SyncViewSet(TvDoorViewSet):
    authentication_classes = [OnlyDeviceAuthentication]
    permission_classes = [IsDevice]

    # For the metrics, in the words of sync/metrics.py.
    shard_id: int | None = None
    outcome = ConstellationError.code

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        self.started = time.perf_counter()
        response: HttpResponseBase | None = None
        try:
            with load.admitted():
                response = super().dispatch(request, *args, **kwargs)
        except Overloaded as exc:
            response = problems.response(exc)
        finally:
            self._record(request, response)
        return response

    def create(self, request: Request) -> HttpResponse:
        # All of this before the body is read.
        token = device_token(request)
        self.shard_id = token.shard_id
        check_shard_is_served(token)

        source = service.publication_for(token)
        message = wires.of_request(request).read_sync(request.data, source)
        reply = service.sync(token, message, source, started=self.started)
        self.outcome = "retry" if reply.is_retry else "ok"
        wire = wires.of_reply(request)
        return replies.negotiated(
            request,
            wire.write_sync(reply, message.wishes),
            media_type=wire.media_type,
            is_dense=wire.is_dense(message.wishes),
        )

    def _record(self, request: HttpRequest, response: HttpResponseBase | None) -> None:
        if isinstance(response, ProblemResponse):
            self.outcome = response.error.code
        metrics.record_sync(
            shard_id=self.shard_id,
            status=self.outcome,
            seconds=time.perf_counter() - self.started,
            # Counted, not claimed: a Content-Length may be anything, or missing.
            received_bytes=request.META.get(parsers.RECEIVED_BYTES, 0),
            sent_bytes=_size(response),
        )


def _size(response: HttpResponseBase | None) -> int:
    # What OPTIONS answers is rendered later, and is small.
    is_ready = getattr(response, "is_rendered", True)
    return (
        len(response.content) if is_ready and isinstance(response, HttpResponse) else 0
    )

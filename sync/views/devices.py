"""``/api/v1/devices``: a TV enrols, and is forgotten."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from rest_framework import exceptions as drf_exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from patterns.services.forget import forget_device
from shards.exceptions import (
    DeviceNotFound,
    TokenMissing,
    TokenOfAnotherDevice,
)
from shards.services import devices
from shards.services.operators import MAY_FORGET_DEVICES
from shards.tokens import DeviceToken
from sync import fields, replies, service, wires
from sync.authentication import DeviceCaller, callers
from sync.views.door import TvDoorViewSet

SYNC_PATH = "/api/v1/sync"


class DeviceViewSet(TvDoorViewSet):
    permission_classes = [AllowAny]  # each action asks for what it needs

    def get_authenticators(self) -> list[Any]:
        """Enrolling takes a key in the body; a stale token must not be in its way."""
        if self.request is not None and self.request.method == "POST":
            return []
        return [authentication() for authentication in callers()]

    def create(self, request: Request) -> HttpResponse:
        message = wires.of_request(request).read_enrolment(request.data)
        # Before anything is stored: it refuses a Host that can't be.
        own_sync_url = request.build_absolute_uri(SYNC_PATH)
        reply = service.enrol(
            message,
            own_sync_url=own_sync_url,
            own_grpc_target=_grpc_target_beside(own_sync_url),
        )
        wire = wires.of_reply(request)
        return replies.negotiated(
            request,
            wire.write_enrolment(reply),
            media_type=wire.media_type,
            status=HTTPStatus.CREATED if reply.is_new else HTTPStatus.OK,
        )

    def destroy(self, request: Request, pk: str) -> HttpResponse:
        device_id = fields.uuid(pk, "device_id")
        if isinstance(request.user, DeviceCaller):
            _forget_itself(device_id, request.user.token)
        else:
            _forget_for_operator(device_id, request)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _grpc_target_beside(url: str) -> str:
    """Name gRPC's door of this installation: the same host, the port of its own."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    if not host.endswith("]"):  # an IPv6 address without a port
        host = host.rpartition(":")[0] or host
    return f"{host}:{settings.GRPC_ADDR.rpartition(':')[2]}"


def _forget_itself(device_id: UUID, token: DeviceToken) -> None:
    if token.device_id != device_id:
        raise TokenOfAnotherDevice(device_id=device_id)
    devices.check_standing(token)
    # Done as well if it was forgotten before: its retry hears the same.
    forget_device(device_id=device_id)


def _forget_for_operator(device_id: UUID, request: Request) -> None:
    if not request.user.is_authenticated:
        raise TokenMissing()
    if not request.user.has_perm(MAY_FORGET_DEVICES):
        raise drf_exceptions.PermissionDenied
    if not forget_device(device_id=device_id):
        raise DeviceNotFound(device_id=device_id)

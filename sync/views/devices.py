"""``/api/v1/devices``: a TV enrols, and is forgotten."""

from __future__ import annotations

import unicodedata
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework import exceptions as drf_exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from federation import selectors as publications
from patterns.services.forget import forget_device
from shards import reaching, services
from shards.exceptions import (
    DeviceNotFound,
    TokenMissing,
    TokenOfAnotherDevice,
)
from shards.fields import REGION_ACCEPTED, is_region
from shards.services import devices
from shards.services.enrolment import Enrolment
from shards.services.operators import MAY_FORGET_DEVICES
from shards.tokens import DeviceToken
from sync import fields, load, replies
from sync.authentication import DeviceCaller, callers
from sync.renderers import dumps
from sync.views.door import DoorViewSet

SYNC_PATH = "/api/v1/sync"

KEY_LENGTH = 128
PROFILE_LENGTH = 64  # of Device.model and Device.firmware


class DeviceViewSet(DoorViewSet):
    permission_classes = [AllowAny]  # each action asks for what it needs

    def get_authenticators(self) -> list[Any]:
        """Enrolling takes a key in the body; a stale token must not be in its way."""
        if self.request is not None and self.request.method == "POST":
            return []
        return [authentication() for authentication in callers()]

    def create(self, request: Request) -> HttpResponse:
        facts = _enrolment_fields(request.data)
        # Before anything is stored: it refuses a Host that can't be.
        sync_url = request.build_absolute_uri(SYNC_PATH)
        enrolment = services.enrol(**facts)
        with reaching.shard(enrolment.shard.id):
            global_version = publications.current_version(enrolment.shard.alias)
        status = HTTPStatus.CREATED if enrolment.is_new else HTTPStatus.OK
        body = _described(enrolment, global_version, sync_url=sync_url)
        return replies.json(request, dumps(body), status=status)

    def destroy(self, request: Request, pk: str) -> HttpResponse:
        device_id = fields.uuid(pk, "device_id")
        if isinstance(request.user, DeviceCaller):
            _forget_itself(device_id, request.user.token)
        else:
            _forget_for_operator(device_id, request)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _enrolment_fields(document: Any) -> dict[str, Any]:
    """Check a request to enrol; what is optional may be left out or null."""
    facts = fields.obj(document, "body")
    return {
        "enrolment_key": fields.text(
            facts.get("enrolment_key"), "enrolment_key", at_most=KEY_LENGTH
        ),
        "device_id": (
            None
            if facts.get("device_id") is None
            else fields.uuid(facts["device_id"], "device_id")
        ),
        "region": _region(facts.get("region")),
        "model": _label(facts.get("model"), "model"),
        "firmware": _label(facts.get("firmware"), "firmware"),
    }


def _region(value: Any) -> str:
    """Check a region's name; ``EU`` is ``eu``, and an empty one is none."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not is_region(value.lower()):
        fields.refuse("region", "not a region's name", REGION_ACCEPTED)
    return value.lower()


def _label(value: Any, field: str) -> str:
    """Check a short text that operators will read."""
    if value is None or value == "":
        return ""
    text = fields.text(value, field, at_most=PROFILE_LENGTH)
    if any(unicodedata.category(character).startswith("C") for character in text):
        fields.refuse(
            field,
            "it holds a control character",
            f"1 to {PROFILE_LENGTH} characters, none of them a control character",
        )
    return text


def _described(
    enrolment: Enrolment, global_version: int, *, sync_url: str
) -> dict[str, Any]:
    shard = enrolment.shard
    return {
        "device_id": enrolment.device_id,
        "token": enrolment.issued.token,
        "token_expires_at": enrolment.issued.expires_at,
        "shard_id": shard.id,
        "sync_url": shard.sync_url or sync_url,
        "grpc_target": shard.grpc_target,
        "global_version": global_version,
        "next_sync_seconds": load.next_sync_seconds(),
    }


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

"""Who calls: a TV by its signed token, before its body is read or a database asked."""

from __future__ import annotations

from dataclasses import dataclass

from rest_framework import exceptions as drf_exceptions
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from shards import reaching, tokens
from shards.databases import is_served
from shards.exceptions import ConstellationError, ControlUnavailable, ShardNotServed
from shards.models import Shard
from shards.tokens import DeviceToken
from sync.exceptions import CSRF_PROBLEM, PermissionDenied


@dataclass(frozen=True)
class DeviceCaller:
    """The user of a request that a TV sent; permissions of people are not its."""

    token: DeviceToken

    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = False
    is_superuser = False

    def has_perm(self, _permission: str, _obj: object = None) -> bool:
        return False

    def has_perms(self, _permissions: object, _obj: object = None) -> bool:
        return False


class DeviceAuthentication(BaseAuthentication):
    """``Authorization: Device <token>``, where other callers are welcome too."""

    def authenticate(self, request: Request) -> tuple[DeviceCaller, DeviceToken] | None:
        header = request.headers.get("Authorization", "")
        if header.partition(" ")[0].lower() != tokens.SCHEME.lower():
            return None
        return _caller(header)

    def authenticate_header(self, _request: Request) -> str:
        return tokens.SCHEME


class OnlyDeviceAuthentication(DeviceAuthentication):
    """The same where nobody but a TV has business."""

    def authenticate(self, request: Request) -> tuple[DeviceCaller, DeviceToken]:
        return _caller(request.headers.get("Authorization"))


class OperatorSessionAuthentication(SessionAuthentication):
    """A session of the console; to change something it takes the CSRF token too."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except drf_exceptions.PermissionDenied as exc:
            raise PermissionDenied(problem=CSRF_PROBLEM) from exc


def callers() -> list[type[BaseAuthentication]]:
    """A TV, or an operator with an API token or a session.

    The session comes last: a browser sends its cookie along unasked, and a token is
    sent on purpose.
    """
    return [DeviceAuthentication, TokenAuthentication, OperatorSessionAuthentication]


class IsDevice(BasePermission):
    def has_permission(self, request: Request, _view: APIView) -> bool:
        return isinstance(request.user, DeviceCaller)


def check_shard_is_served(token: DeviceToken) -> None:
    """Send a TV on whose shard another deployment serves."""
    if not is_served(token.shard_id):
        raise shard_not_served(token.shard_id)


def shard_not_served(shard_id: int) -> ConstellationError:
    try:
        with reaching.control():
            sync_url = (
                Shard.objects.filter(pk=shard_id)
                .values_list("sync_url", flat=True)
                .first()
            )
    except ControlUnavailable:
        sync_url = None
    facts = {"sync_url": sync_url} if sync_url else {}
    return ShardNotServed(shard_id=shard_id, **facts)


def _caller(header: str | None) -> tuple[DeviceCaller, DeviceToken]:
    token = tokens.read(header)
    return DeviceCaller(token), token

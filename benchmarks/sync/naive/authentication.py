"""A TV shows its token, which is looked up."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from benchmarks.sync.naive.models import Device


class DeviceAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Device, None] | None:
        scheme, _, token = get_authorization_header(request).decode().partition(" ")
        if scheme.lower() != "token":
            return None
        device = Device.objects.filter(token=token).first()
        if device is None:
            raise AuthenticationFailed("Unknown token.")
        return device, None

    def authenticate_header(self, _request: Request) -> str:
        return "Token"

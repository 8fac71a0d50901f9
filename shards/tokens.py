"""Device tokens: stateless, signed, and read without asking any database.

The payload is 30 bytes (TV, shard, epoch, expiry), so the shard that answers a TV is
known before anything is looked up. Revocation is the epoch on the TV's own row, which
a sync locks anyway: ``check_standing`` compares.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.utils import timezone

from shards.exceptions import (
    DeviceRevoked,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from shards.models import Device

SCHEME = "Device"

#: Another layout gets another salt: then no old token can be misread.
_SALT = "constellation.device-token.v1"

#: TV, shard, epoch, expiry in seconds since 1970.
_PAYLOAD = struct.Struct(">16sHIQ")

#: A dot may stand in an Authorization header, Django's default colon may not.
_SEPARATOR = "."

#: 40 characters of payload, the dot, 43 of signature; longer isn't worth hashing.
_LENGTH = 84


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceToken:
    """What a token that holds says; not yet whether the TV still exists."""

    device_id: UUID
    shard_id: int
    token_epoch: int
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedToken:
    token: str
    expires_at: datetime


def issue(
    *, device_id: UUID, shard_id: int, token_epoch: int, now: datetime | None = None
) -> IssuedToken:
    """Sign a token for ``DEVICE_TOKEN_DAYS`` from now."""
    starts_at = (now or timezone.now()).astimezone(UTC).replace(microsecond=0)
    expires_at = starts_at + timedelta(days=settings.DEVICE_TOKEN_DAYS)
    payload = _PAYLOAD.pack(
        device_id.bytes, shard_id, token_epoch, int(expires_at.timestamp())
    )
    text = base64.urlsafe_b64encode(payload).decode("ascii")
    return IssuedToken(token=_signer().sign(text), expires_at=expires_at)


def read(authorization: str | None, *, now: datetime | None = None) -> DeviceToken:
    """Verify the value of an Authorization header, ``Device <token>``."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != SCHEME.lower() or not token:
        raise TokenMissing()

    if len(token) != _LENGTH or not token.isascii():
        raise TokenInvalid()
    try:
        text = _signer().unsign(token)
    except BadSignature as exc:
        raise TokenInvalid() from exc

    # Signed by us, so it unpacks.
    device, shard_id, token_epoch, expiry = _PAYLOAD.unpack(
        base64.urlsafe_b64decode(text)
    )
    expires_at = datetime.fromtimestamp(expiry, UTC)
    if (now or timezone.now()) >= expires_at:
        raise TokenExpired(expired_at=expires_at.isoformat())
    return DeviceToken(
        device_id=UUID(bytes=device),
        shard_id=shard_id,
        token_epoch=token_epoch,
        expires_at=expires_at,
    )


def check_standing(token: DeviceToken, device: Device) -> None:
    """Refuse a TV that was revoked, and tokens from before it was reinstated."""
    if device.revoked_at is not None:
        raise DeviceRevoked(device_id=device.id)
    if token.token_epoch != device.token_epoch:
        raise TokenInvalid()


def _signer() -> Signer:
    """Made anew each time: it reads SECRET_KEY and its fallbacks."""
    return Signer(sep=_SEPARATOR, salt=_SALT)

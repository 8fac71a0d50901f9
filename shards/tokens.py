"""Device tokens: stateless, signed, and read without asking any database.

The payload is 30 bytes (TV, shard, epoch, expiry), so the shard that answers a TV is
known before anything is looked up. Revocation is the epoch on the TV's own row, which
a sync locks anyway: ``check_standing`` compares.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from shards.exceptions import (
    DeviceRevoked,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)

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
    signature = _signature(text, next(_keys()))
    return IssuedToken(token=text + _SEPARATOR + signature, expires_at=expires_at)


def read(authorization: str | None, *, now: datetime | None = None) -> DeviceToken:
    """Verify the value of an Authorization header, ``Device <token>``."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != SCHEME.lower() or not token:
        raise TokenMissing()

    if len(token) != _LENGTH or not token.isascii():
        raise TokenInvalid()
    text, _, signature = token.rpartition(_SEPARATOR)
    if not any(
        hmac.compare_digest(signature, _signature(text, key)) for key in _keys()
    ):
        raise TokenInvalid()

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


class Standing(Protocol):
    """What a TV's row says of it: a ``Device``, or what a statement found."""

    @property
    def revoked_at(self) -> datetime | None: ...
    @property
    def token_epoch(self) -> int: ...


def check_standing(token: DeviceToken, device: Standing) -> None:
    """Refuse a TV that was revoked, and tokens from before it was reinstated."""
    if device.revoked_at is not None:
        raise DeviceRevoked(device_id=token.device_id)
    if token.token_epoch != device.token_epoch:
        raise TokenInvalid()


def _signature(text: str, key: bytes) -> str:
    digest = hmac.digest(key, text.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _keys() -> Iterator[bytes]:
    """The key that signs, then those that still verify."""
    yield _key(settings.SECRET_KEY)
    yield from map(_key, settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=16)
def _key(secret: str) -> bytes:
    """As ``django.core.signing.Signer`` derives it, which takes longer than signing."""
    return hashlib.sha256((_SALT + "signer" + secret).encode()).digest()

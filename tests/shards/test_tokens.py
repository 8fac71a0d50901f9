"""Tokens hold against every change of a single bit, and need no database."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.core.signing import Signer
from hypothesis import given
from hypothesis import strategies as st

from shards import tokens
from shards.exceptions import (
    DeviceRevoked,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from shards.models import Device

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def issued(token_epoch: int = 0) -> tokens.IssuedToken:
    return tokens.issue(device_id=uuid4(), shard_id=3, token_epoch=token_epoch, now=NOW)


def header(token: str) -> str:
    return f"Device {token}"


@given(
    device_id=st.uuids(),
    shard_id=st.integers(0, 999),
    token_epoch=st.integers(0, 2**31 - 1),
)
def test_says_what_was_signed(device_id: UUID, shard_id: int, token_epoch: int):
    given_out = tokens.issue(
        device_id=device_id, shard_id=shard_id, token_epoch=token_epoch, now=NOW
    )

    read = tokens.read(header(given_out.token), now=NOW)

    assert read == tokens.DeviceToken(
        device_id=device_id,
        shard_id=shard_id,
        token_epoch=token_epoch,
        expires_at=given_out.expires_at,
    )


@given(bit=st.integers(0, 84 * 8 - 1))
def test_a_flipped_bit_is_refused(bit: int):
    token = bytearray(issued().token, "ascii")
    token[bit // 8] ^= 1 << bit % 8

    with pytest.raises(TokenInvalid):
        tokens.read(header(token.decode("latin-1")), now=NOW)


@given(length=st.integers(1, 83))
def test_a_truncated_token_is_refused(length: int):
    token = issued().token[:length]

    with pytest.raises(TokenInvalid):
        tokens.read(header(token), now=NOW)


@given(text=st.text(min_size=1).filter(lambda s: s.strip()))
def test_any_other_text_is_refused(text: str):
    with pytest.raises((TokenInvalid, TokenMissing)):
        tokens.read(header(text), now=NOW)


def test_another_tvs_payload_does_not_fit_a_signature():
    mine, theirs = issued().token, issued().token
    forged = theirs.partition(".")[0] + "." + mine.partition(".")[2]

    with pytest.raises(TokenInvalid):
        tokens.read(header(forged), now=NOW)


def test_a_signature_of_anything_else_of_ours_is_refused():
    """A session or a password link is signed with the same key."""
    payload = base64.urlsafe_b64encode(bytes(30)).decode()
    foreign = Signer(sep=".", salt="django.contrib.sessions").sign(payload)
    assert len(foreign) == len(issued().token)

    with pytest.raises(TokenInvalid):
        tokens.read(header(foreign), now=NOW)


def test_signature_is_the_one_of_djangos_signer():
    """Tokens of TVs in the field were signed by it."""
    token = issued().token
    payload, _, _ = token.rpartition(".")

    signer = Signer(sep=".", salt="constellation.device-token.v1")

    assert signer.sign(payload) == token


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Device",
        "Device ",
        "Token 0123456789",  # an operator's
        "Bearer abc",
    ],
)
def test_no_device_token_is_missing(authorization: str | None):
    with pytest.raises(TokenMissing) as caught:
        tokens.read(authorization)

    assert "Authorization: Device <token>" in str(caught.value)


def test_the_scheme_may_be_written_in_any_case():
    token = issued().token

    assert tokens.read(f"device {token}", now=NOW).shard_id == 3


def test_expires_after_the_days_that_are_set(settings):
    settings.DEVICE_TOKEN_DAYS = 2
    token = issued()
    last_second = NOW + timedelta(days=2, seconds=-1)

    assert tokens.read(header(token.token), now=last_second).shard_id == 3
    with pytest.raises(TokenExpired, match="2026-03-03T12:00:00"):
        tokens.read(header(token.token), now=NOW + timedelta(days=2))


def test_a_replaced_key_verifies_until_it_is_dropped(settings):
    settings.SECRET_KEY = "old"
    token = issued().token

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    assert tokens.read(header(token), now=NOW).shard_id == 3

    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(TokenInvalid):
        tokens.read(header(token), now=NOW)


def test_a_revoked_tv_has_no_standing():
    token = tokens.read(header(issued().token), now=NOW)
    device = Device(id=token.device_id, revoked_at=NOW, token_epoch=1)

    with pytest.raises(DeviceRevoked, match=str(device.id)):
        tokens.check_standing(token, device)


def test_a_token_from_before_the_revocation_stays_void():
    """Once the TV is reinstated, it enrols again for a token of the new epoch."""
    token = tokens.read(header(issued(token_epoch=0).token), now=NOW)
    device = Device(id=token.device_id, token_epoch=1)

    with pytest.raises(TokenInvalid):
        tokens.check_standing(token, device)

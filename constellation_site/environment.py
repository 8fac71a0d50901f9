"""Read settings from environment variables, failing with the name and what it accepts.

What the environment leaves unset may stand in ``CONSTELLATION_HOME/demo.env``, which
``up --demo`` writes: so a command typed beside it uses the demo's settings too.

Each variable is declared once, where ``settings.py`` reads it; ``DECLARED`` lets a
test hold docs/settings.md against the code.
"""

from __future__ import annotations

import base64
import functools
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

#: Settings of a demo, for every process of this home: lines of ``NAME=value``.
DEMO_SETTINGS_FILE = "demo.env"

Value = TypeVar("Value")

#: Of an Ed25519 private key.
KEY_BYTES = 32

#: Message brokers that keep a message until its work is done.
BROKERS = ("redis", "rediss", "amqp", "amqps")

#: Every variable that was read.
DECLARED: set[str] = set()


def raw(name: str) -> str | None:
    """Return what a variable holds; None if unset or empty."""
    DECLARED.add(name)
    return os.environ.get(name) or _demo_settings().get(name) or None


def home() -> Path:
    """Where this installation keeps its data."""
    DECLARED.add("CONSTELLATION_HOME")
    given = os.environ.get("CONSTELLATION_HOME")
    return Path(given or BASE_DIR / ".constellation").expanduser().absolute()


def text(name: str, default: str) -> str:
    return raw(name) or default


def choice(name: str, default: str, *, among: tuple[str, ...]) -> str:
    """Read one of a few words, in any case; returned as ``among`` spells it."""
    spellings = {word.lower(): word for word in among}
    return _parsed(
        name, default, lambda s: spellings[s.lower()], f"one of {', '.join(among)}"
    )


def boolean(name: str, default: bool) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    return _parsed(
        name, default, lambda s: words[s.lower()], "one of 1, 0, true, false"
    )


def integer(name: str, default: int, *, at_least: int, at_most: int = 2**31 - 1) -> int:
    accepted = f"a whole number from {at_least} to {at_most}"
    value = _parsed(name, default, int, accepted)
    if not at_least <= value <= at_most:
        raise ImproperlyConfigured(f"{name} is {value}. Accepted: {accepted}.")
    return value


def fraction(name: str, default: float) -> float:
    accepted = "a number from 0 to 1"
    value = _parsed(name, default, float, accepted)
    if not 0 <= value <= 1:
        raise ImproperlyConfigured(f"{name} is {value}. Accepted: {accepted}.")
    return value


def above_zero(
    name: str, default: Value, *, at_most: float = math.inf
) -> float | Value:
    accepted = "a number above 0" + ("" if at_most == math.inf else f" to {at_most:g}")
    if raw(name) is None:
        return default
    value = _parsed(name, 0.0, float, accepted)
    if not 0 < value <= at_most:
        raise ImproperlyConfigured(f"{name} is {value}. Accepted: {accepted}.")
    return value


def address(name: str, default: str) -> str:
    """Read a ``host:port``; the host may be empty for every interface."""
    accepted = "host:port, for example 0.0.0.0:8080"
    return _parsed(name, parse_address(default), parse_address, accepted)


def parse_address(value: str) -> str:
    """Return ``host:port`` with the host filled in; ValueError if it isn't one."""
    host, colon, port = value.rpartition(":")
    if not colon or not 0 <= int(port) <= 65535:
        raise ValueError(value)
    return f"{host or '0.0.0.0'}:{port}"


def shard_ids(name: str) -> frozenset[int] | None:
    return _parsed(
        name,
        None,
        lambda s: frozenset(int(part) for part in s.split(",")),
        "shard numbers separated by commas, for example 0,3",
    )


def words(name: str, default: list[str]) -> list[str]:
    value = raw(name)
    return default if value is None else [w.strip() for w in value.split(",")]


def url(name: str) -> str | None:
    """Read an address that others are appended to; without a slash at its end."""
    return _parsed(name, None, _as_url, "http:// or https://, a host, maybe a path")


def broker_url(name: str, default: str) -> str:
    """Read the address of a message broker that workers and senders share."""
    value = raw(name)
    if value is None:
        return default
    parts = urlsplit(value)
    if parts.scheme in BROKERS and parts.hostname:
        return value
    # Without the value, which may hold a password.
    raise ImproperlyConfigured(
        f"{name} isn't the address of a broker. Accepted: "
        "redis://:password@host:6379/0 (rediss:// with TLS) or "
        "amqp://user:password@host:5672/vhost (amqps:// with TLS); without it, the "
        "control database."
    )


def key(name: str, *, unlike: str | None = None) -> str | None:
    """Read a private key: 32 secret bytes in base64, another one than ``unlike``."""
    value = raw(name)
    return None if value is None else _as_key(name, value, unlike)


def keys(name: str, *, unlike: str | None = None) -> list[str]:
    return [_as_key(name, value, unlike) for value in words(name, [])]


def path(name: str, default: Path) -> Path:
    return Path(raw(name) or default).expanduser().absolute()


def path_or_none(name: str) -> Path | None:
    value = raw(name)
    return None if value is None else Path(value).expanduser().absolute()


def postgres_url(name: str, url: str) -> dict[str, object]:
    """Turn a PostgreSQL URL into an entry of ``DATABASES``."""
    accepted = "postgresql://user:password@host:port/database"
    if not url.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured(
            f"{name} isn't a PostgreSQL URL. Accepted: {accepted}."
        )
    config: dict[str, object] = environ.Env.db_url_config(url)
    if not config.get("NAME"):
        raise ImproperlyConfigured(f"{name} names no database. Accepted: {accepted}.")
    return config


def _as_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(value)
    return value.rstrip("/")


def _as_key(name: str, value: str, unlike: str | None) -> str:
    with suppress(ValueError):
        private = base64.b64decode(value, validate=True)
        if unlike is not None and private == base64.b64decode(unlike):
            raise ImproperlyConfigured(
                f"{name} is the key of BUNDLE_SIGNING_KEY. Accepted: another one; the "
                "next before a rotation, former ones after it."
            )
        if len(private) == KEY_BYTES:
            return value
    # Without the value, which may be a secret with a typing mistake.
    raise ImproperlyConfigured(
        f"{name} isn't a private key. Accepted: {KEY_BYTES} bytes in base64, as "
        "`manage.py bundle_key new` prints them; several, separated by commas, in "
        "BUNDLE_SIGNING_KEY_FALLBACKS only."
    )


def _parsed(
    name: str, default: Value, parse: Callable[[str], Value], accepted: str
) -> Value:
    value = raw(name)
    if value is None:
        return default
    try:
        return parse(value)
    except (ValueError, KeyError) as exc:
        raise ImproperlyConfigured(
            f"{name} is {value!r}. Accepted: {accepted}."
        ) from exc


@functools.cache
def _demo_settings() -> dict[str, str]:
    try:
        lines = (home() / DEMO_SETTINGS_FILE).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}

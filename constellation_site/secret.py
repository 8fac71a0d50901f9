"""The key that signs tokens and sessions.

A fixed default would let anyone who reads this source sign tokens. So it comes from
``SECRET_KEY``, or is made once at random for an installation on embedded databases.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from constellation_site import embedded, environment

SECRET_KEY_BYTES = 48


def secret_key(home: Path) -> str:
    """Return ``SECRET_KEY``, or the key kept under ``home``, made when missing."""
    if key := environment.raw("SECRET_KEY"):
        return key
    if environment.raw("POSTGRES_URL"):
        raise ImproperlyConfigured(
            "SECRET_KEY is unset. With databases of your own every process needs the "
            "same one. Accepted: at least 32 random characters, for example from "
            "`python -c 'import secrets; print(secrets.token_urlsafe(48))'`."
        )
    return _kept_key(home / "secret_key")


def _kept_key(path: Path) -> str:
    if not path.exists():
        embedded.make_home(path.parent)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(SECRET_KEY_BYTES))
        # Whole or not at all, and another process may have been first.
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text()

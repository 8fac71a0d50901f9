"""Where the private keys are: in the environment, or in a file made when first needed.

Only whoever publishes reads them. Web processes serve what was signed.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from django.conf import settings

from federation.bundles import serving
from federation.bundles.signing import KEY_BYTES, KeyRing, SigningKey
from federation.exceptions import (
    KeysFromEnvironment,
    NextKeyMissing,
    NextKeyNotAnnounced,
    SigningKeyMissing,
    SigningKeyUnknown,
)
from shards.databases import CONTROL_ALIAS

FILE_NAME = "bundle_keys.json"

log = structlog.get_logger()


@dataclass(frozen=True)
class Seeds:
    """Private keys as they are kept: 32 random bytes each, in base64."""

    current: str
    following: str | None = None
    former: tuple[str, ...] = ()

    def ring(self) -> KeyRing:
        return KeyRing(
            current=_key(self.current),
            following=_key(self.following) if self.following else None,
            former=tuple(_key(seed) for seed in self.former),
        )


def ring() -> KeyRing:
    """Give the keys of this installation; the first of them is made when missing.

    Raises ``SigningKeyUnknown`` if TVs know others: a process with a home of its own
    must not publish what no TV would believe. The environment's word is taken.
    """
    found = held()
    if not settings.BUNDLE_SIGNING_KEY:
        announced = [key.key_id for key in serving.announced_keys(CONTROL_ALIAS)]
        if announced and found.current.key_id not in announced:
            raise SigningKeyUnknown(
                key_id=found.current.key_id, known=", ".join(announced)
            )
    return found


def held() -> KeyRing:
    """Give the keys of this process, whatever TVs know; no database is asked."""
    return _seeds().ring()


def source() -> str:
    """Say where the keys are, for people."""
    return "the environment" if settings.BUNDLE_SIGNING_KEY else str(_path())


def new_seed() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def announce() -> KeyRing:
    """Make the next key, which every manifest from now on names; once is enough."""
    seeds = _kept_seeds()
    if seeds.following is None:
        seeds = replace(seeds, following=new_seed())
        _keep(seeds)
    return seeds.ring()


def switch() -> KeyRing:
    """Sign with the next key; the one before signs as well until it is retired.

    Raises ``NextKeyMissing``, or ``NextKeyNotAnnounced`` while no manifest that is out
    names the next key: TVs could not know it.
    """
    seeds = _kept_seeds()
    if seeds.following is None:
        raise NextKeyMissing()
    following = _key(seeds.following)
    announced = {key.key_id for key in serving.announced_keys(CONTROL_ALIAS)}
    if following.key_id not in announced:
        raise NextKeyNotAnnounced(key_id=following.key_id)
    seeds = Seeds(current=seeds.following, former=(seeds.current, *seeds.former))
    _keep(seeds)
    return seeds.ring()


def retire() -> KeyRing:
    """Forget the former keys: TVs that know no other refuse what comes."""
    seeds = replace(_kept_seeds(), former=())
    _keep(seeds)
    return seeds.ring()


def _key(seed: str) -> SigningKey:
    return SigningKey(base64.b64decode(seed))


def _seeds() -> Seeds:
    if settings.BUNDLE_SIGNING_KEY:
        return Seeds(
            current=settings.BUNDLE_SIGNING_KEY,
            following=settings.BUNDLE_SIGNING_KEY_NEXT,
            former=tuple(settings.BUNDLE_SIGNING_KEY_FALLBACKS),
        )
    path = _path()
    try:
        if not path.exists():
            log.info("a signing key was made", path=str(path))
            _write(path, Seeds(current=new_seed()), is_new=True)
        kept = json.loads(path.read_text())
    except OSError as exc:
        raise SigningKeyMissing(problem=str(exc)) from exc
    return Seeds(kept["current"], kept["next"], tuple(kept["former"]))


def _kept_seeds() -> Seeds:
    if settings.BUNDLE_SIGNING_KEY:
        raise KeysFromEnvironment()
    return _seeds()


def _keep(seeds: Seeds) -> None:
    _write(_path(), seeds, is_new=False)


def _path() -> Path:
    return Path(settings.CONSTELLATION_HOME) / FILE_NAME


def _write(path: Path, seeds: Seeds, *, is_new: bool) -> None:
    """Write whole or not at all; a new file never replaces another's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(
        json.dumps(
            {
                "current": seeds.current,
                "next": seeds.following,
                "former": list(seeds.former),
            }
        )
    )
    if is_new:
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    else:
        draft.replace(path)

"""Where the private keys are: in the environment, or in a file made when first needed.

Only whoever publishes reads them. Web processes serve what was signed.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from django.conf import settings

from federation.bundles import serving
from federation.bundles.signing import KEY_BYTES, KeyRing, KeyStatus, SigningKey
from federation.exceptions import (
    KeysFromEnvironment,
    NextKeyMissing,
    NextKeyNotAnnounced,
    SigningKeyDamaged,
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
    must not publish what no TV would believe, nor one whose home was restored from
    before a rotation. The environment's word is taken.
    """
    found = held()
    known = [
        key.key_id
        for key in serving.announced_keys(CONTROL_ALIAS)
        if key.status != KeyStatus.FORMER
    ]
    signing = [found.current, *found.former]
    if not known or found.current.key_id in known:
        return found
    if not settings.BUNDLE_SIGNING_KEY:
        raise SigningKeyUnknown(key_id=found.current.key_id, known=", ".join(known))
    if not any(key.key_id in known for key in signing):
        log.warning("no TV knows the signing key", key_id=signing[0].key_id)
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
    with _rotating() as seeds:
        if seeds.following is None:
            seeds = replace(seeds, following=new_seed())
            _write(seeds)
    return seeds.ring()


def switch() -> KeyRing:
    """Sign with the next key; the one before signs as well until it is retired.

    Raises ``NextKeyMissing``, or ``NextKeyNotAnnounced`` while no manifest that is out
    names the next key: TVs could not know it.
    """
    with _rotating() as seeds:
        if seeds.following is None:
            raise NextKeyMissing()
        following = _key(seeds.following)
        announced = {key.key_id for key in serving.announced_keys(CONTROL_ALIAS)}
        if following.key_id not in announced:
            raise NextKeyNotAnnounced(key_id=following.key_id)
        seeds = Seeds(current=seeds.following, former=(seeds.current, *seeds.former))
        _write(seeds)
    return seeds.ring()


def retire() -> KeyRing:
    """Forget the former keys: TVs that know no other refuse what comes."""
    with _rotating() as seeds:
        seeds = replace(seeds, former=())
        _write(seeds)
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
    try:
        if not _path().exists():
            with _locked():
                _make_first()
        text = _path().read_text()
    except OSError as exc:
        raise SigningKeyMissing(problem=str(exc)) from exc
    return _read(text)


@contextmanager
def _rotating() -> Iterator[Seeds]:
    """Give the keys to whoever changes them, one at a time."""
    if settings.BUNDLE_SIGNING_KEY:
        raise KeysFromEnvironment()
    _seeds()  # makes the first, or says why there can be none
    try:
        with _locked():
            yield _seeds()
    except OSError as exc:
        raise SigningKeyMissing(problem=str(exc)) from exc


def _make_first() -> None:
    if not _path().exists():  # nobody was faster
        _write(Seeds(current=new_seed()))
        log.info("a signing key was made", path=str(_path()))


def _path() -> Path:
    return Path(settings.CONSTELLATION_HOME) / FILE_NAME


@contextmanager
def _locked() -> Iterator[None]:
    """One writer at a time, of all processes of this home."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(text: str) -> Seeds:
    try:
        kept = json.loads(text)
        seeds = Seeds(kept["current"], kept["next"], tuple(kept["former"]))
        seeds.ring()
    # Without its cause, which would repeat what is in the file.
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SigningKeyDamaged(path=str(_path())) from None
    return seeds


def _write(seeds: Seeds) -> None:
    """Write whole or not at all, and for good: a lost key is a lost fleet."""
    path = _path()
    # Only its owner may read what it makes.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}.")
    try:
        with open(handle, "w") as file:
            json.dump(
                {
                    "current": seeds.current,
                    "next": seeds.following,
                    "former": list(seeds.former),
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Have the disk keep the name of a new file too."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

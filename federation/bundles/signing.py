"""What is signed, byte for byte, and by which keys: Ed25519 (RFC 8032).

Each kind of statement begins with words of its own, so that a signature of one can
never be taken for a signature of another.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from django.db import models

MANIFEST_CONTEXT = b"constellation manifest v1\n"
BUNDLE_CONTEXT = b"constellation bundle v1\n"

#: Of a private key's seed, and of a public key.
KEY_BYTES = 32


class KeyStatus(models.IntegerChoices):
    """The numbers of ``BundleKey.Status`` in ``bundle.proto``."""

    CURRENT = 1, "current"
    NEXT = 2, "next"
    FORMER = 3, "former"


@dataclass(frozen=True)
class PublicKey:
    key_id: str
    #: 32 bytes.
    raw: bytes
    status: KeyStatus


class SigningKey:
    """A private key, by its seed of 32 random bytes."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._private.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    def sign(self, statement: bytes) -> bytes:
        """Give the 64 bytes of a signature; the same statement, the same bytes."""
        return self._private.sign(statement)


@dataclass(frozen=True, eq=False)
class KeyRing:
    """The keys of an installation."""

    current: SigningKey
    #: Announced, and signs nothing yet.
    following: SigningKey | None = None
    #: Sign as well, for TVs that know no other.
    former: tuple[SigningKey, ...] = ()

    def sign(self, statement: bytes) -> dict[str, bytes]:
        """Sign with every key that signs; by key id, the current one first."""
        return {key.key_id: key.sign(statement) for key in (self.current, *self.former)}

    def public_keys(self) -> list[PublicKey]:
        keys = [(self.current, KeyStatus.CURRENT)]
        if self.following is not None:
            keys.append((self.following, KeyStatus.NEXT))
        keys += [(key, KeyStatus.FORMER) for key in self.former]
        return [PublicKey(key.key_id, key.public, status) for key, status in keys]


def key_id(public: bytes) -> str:
    return "k" + sha256(public).hexdigest()[:16]


def manifest_statement(manifest: bytes) -> bytes:
    """What is signed of a serialised manifest."""
    return MANIFEST_CONTEXT + manifest


def bundle_statement(path: str, digest: str) -> bytes:
    """What is signed of a bundle: where it belongs, and its SHA-256 in hexadecimal.

    The path says the kind, the version and the name.
    """
    return BUNDLE_CONTEXT + f"{path}\n{digest}\n".encode()


def signature_header(signatures: dict[str, bytes]) -> str:
    """Write signatures as a dictionary of byte sequences (RFC 9651)."""
    return ", ".join(
        f"{name}=:{base64.b64encode(signature).decode()}:"
        for name, signature in signatures.items()
    )


def is_signed_by(public: bytes, signature: bytes, statement: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, statement)
    except InvalidSignature:
        return False
    return True

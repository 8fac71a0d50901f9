"""A bundle that was made, signed and not yet stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from federation.bundles import signing
from federation.bundles.payloads import Payload, payload
from federation.bundles.signing import KeyRing


@dataclass(frozen=True, eq=False)
class MadeBundle:
    """One bundle of a version, with where its bytes come from."""

    name: str
    #: Below ``/api/v1/``.
    path: str
    #: In hexadecimal.
    sha256: str
    #: Without a coding.
    size_bytes: int
    #: The header that carries its signatures.
    signature: str
    #: Called for a database that doesn't have the bytes.
    load: Callable[[], Payload]
    #: Of a page of the catalogue: a digest of what it was made from.
    source: str = ""


def made_of(ring: KeyRing, name: str, path: str, identity: bytes) -> MadeBundle:
    """Compress and sign the bytes of a bundle."""
    made = payload(identity)
    return MadeBundle(
        name=name,
        path=path,
        sha256=made.sha256,
        size_bytes=len(identity),
        signature=signature_of(ring, path, made.sha256),
        load=lambda: made,
    )


def signature_of(ring: KeyRing, path: str, digest: str) -> str:
    statement = signing.bundle_statement(path, digest)
    return signing.signature_header(ring.sign(statement))

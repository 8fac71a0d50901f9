"""The manifest: the list of a publication's bundles, and the one thing to verify."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from constellation.v1 import bundle_pb2
from federation.bundles.messages import serialised
from federation.bundles.signing import (
    KeyRing,
    KeyStatus,
    PublicKey,
    manifest_statement,
)


@dataclass(frozen=True)
class Entry:
    """A bundle, as a manifest names it."""

    name: str
    path: str
    #: In hexadecimal.
    sha256: str
    size_bytes: int


def signed_manifest(
    ring: KeyRing,
    *,
    version: int,
    published_at: datetime,
    checksum: str,
    rollback_of: int | None,
    codebook_version: int,
    entries: Iterable[Entry],
) -> bytes:
    """Write and sign a manifest; deterministic."""
    manifest = serialised(
        bundle_pb2.Manifest(
            global_version=version,
            published_at=int(published_at.timestamp()),
            checksum=bytes.fromhex(checksum),
            rollback_of=rollback_of or 0,
            codebook_version=codebook_version,
            bundles=[
                bundle_pb2.ManifestEntry(
                    name=entry.name,
                    path=entry.path,
                    sha256=bytes.fromhex(entry.sha256),
                    size_bytes=entry.size_bytes,
                )
                for entry in sorted(entries, key=lambda entry: entry.name)
            ],
            keys=[
                bundle_pb2.BundleKey(
                    key_id=key.key_id,
                    public_key=key.raw,
                    status=bundle_pb2.BundleKey.Status.Name(key.status),
                )
                for key in ring.public_keys()
            ],
        )
    )
    return serialised(
        bundle_pb2.SignedManifest(
            manifest=manifest,
            signatures=[
                bundle_pb2.ManifestSignature(key_id=key_id, signature=signature)
                for key_id, signature in ring.sign(manifest_statement(manifest)).items()
            ],
        )
    )


def keys_in(signed: bytes) -> list[PublicKey]:
    """Read the keys that one of our own manifests announces."""
    envelope = bundle_pb2.SignedManifest.FromString(signed)
    manifest = bundle_pb2.Manifest.FromString(envelope.manifest)
    return [
        PublicKey(key.key_id, key.public_key, KeyStatus(key.status))
        for key in manifest.keys
    ]

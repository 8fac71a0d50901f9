"""Publications as a server prints them: bundles, and the manifest that signs them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from constellation.v1 import bundle_pb2
from fleet.bundles import key_id

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER_PUBLIC = OTHER_KEY.public_key().public_bytes_raw()


def printed(
    version: int,
    *,
    items: Mapping[int, str] | None = None,
    codebooks: Mapping[int, bytes] | None = None,
    key: Ed25519PrivateKey = KEY,
    announces: tuple[bytes, ...] = (PUBLIC,),
) -> dict[str, bytes]:
    """The bundles of a version by their path, the manifest among them."""
    bodies = {"items": (f"publications/{version}/items", _items(items or {}))}
    own = max(codebooks or {}, default=0)
    if codebooks:
        bodies["codebook"] = (f"codebooks/{own}", codebooks[own])
    manifest = bundle_pb2.Manifest(
        global_version=version,
        codebook_version=own,
        bundles=[
            bundle_pb2.ManifestEntry(
                name=name,
                path=path,
                sha256=sha256(body).digest(),
                size_bytes=len(body),
            )
            for name, (path, body) in sorted(bodies.items())
        ],
        keys=[bundle_pb2.BundleKey(key_id=key_id(k), public_key=k) for k in announces],
    ).SerializeToString()
    return {
        **dict(bodies.values()),
        f"publications/{version}/manifest": signed(manifest, key),
    }


def signed(manifest: bytes, key: Ed25519PrivateKey = KEY) -> bytes:
    statement = b"constellation manifest v1\n" + manifest
    return bundle_pb2.SignedManifest(
        manifest=manifest,
        signatures=[
            bundle_pb2.ManifestSignature(
                key_id=key_id(key.public_key().public_bytes_raw()),
                signature=key.sign(statement),
            )
        ],
    ).SerializeToString()


def _items(items: Mapping[int, str]) -> bytes:
    ordinals = sorted(items)
    return bundle_pb2.ItemsBundle(
        ordinal_deltas=np.diff(ordinals, prepend=0).astype(int).tolist(),
        items=[items[ordinal] for ordinal in ordinals],
    ).SerializeToString()

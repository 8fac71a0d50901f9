"""Bundles of publications: fetched from any cache, trusted for their signature alone.

The danger is a cache that lies. So nothing of a bundle is looked at before its SHA-256
was found in a manifest, nor anything of a manifest before a key that the TV trusts was
found to have signed it. What is verified is kept by its SHA-256, which never changes
what it means: a fleet of thousands in one process shares one library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message import DecodeError

from constellation.v1 import bundle_pb2
from fleet.codebook import Codebook
from fleet.errors import FleetError, UnreadableReply
from fleet.items import Items

MANIFEST_STATEMENT = b"constellation manifest v1\n"
KEY_BYTES = 32

CODEBOOK, ITEMS = "codebook", "items"

#: Of each kind, in memory; the rest are former publications'.
BUNDLES_REMEMBERED = 4

#: In the folder, the latest that were fetched.
BUNDLES_ON_DISK = 16

#: Gives the bytes at an address, without any Content-Encoding.
Get = Callable[[str], bytes]

Parsed = TypeVar("Parsed")


class Untrusted(FleetError):
    """A bundle that isn't what its publisher signed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="bundle_untrusted")


@dataclass(frozen=True)
class Address:
    """Where the manifest of one publication is."""

    #: Ends with ``/api/v1/``; a cache may be somewhere else than the server.
    root: str
    version: int

    @classmethod
    def of(cls, manifest_url: str, version: int) -> Address:
        path = f"publications/{version}/manifest"
        if not manifest_url.endswith(f"/{path}"):
            raise UnreadableReply(f"{manifest_url} is no address of a manifest")
        return cls(manifest_url.removesuffix(path), version)

    @property
    def url(self) -> str:
        return f"{self.root}publications/{self.version}/manifest"


class Library:
    """Verified bundles, read once; safe for many threads.

    ``keys`` are the public keys to trust, 32 bytes each. Without any, those that the
    first manifest names are trusted: good enough for a simulated fleet, not for a TV.
    ``folder`` keeps bundles from one start to the next.
    """

    def __init__(self, keys: Iterable[bytes] = (), folder: Path | None = None) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._newest = 0
        self._folder = folder
        self._manifests: dict[str, bundle_pb2.Manifest] = {}
        self._parsed: dict[str, dict[bytes, object]] = {}
        self._lock = threading.Lock()

    def manifest(self, address: Address, get: Get) -> bundle_pb2.Manifest:
        """Give the manifest at an address.

        Raises Untrusted if no key that is trusted has signed it, or if it belongs to
        another version.
        """
        with self._lock:
            if address.url not in self._manifests:
                self._manifests[address.url] = self._verified(
                    get(address.url), address.version
                )
                _forget_first(self._manifests)
            return self._manifests[address.url]

    def codebook(
        self, manifest: bundle_pb2.Manifest, root: str, get: Get
    ) -> Codebook | None:
        """Give the codebook of a publication; None if it has none."""
        return self._read(CODEBOOK, Codebook.read, manifest, root, get)

    def items(self, manifest: bundle_pb2.Manifest, root: str, get: Get) -> Items | None:
        """Give the names of the ordinals that a publication refers to."""
        return self._read(ITEMS, Items.read, manifest, root, get)

    def _read(
        self,
        name: str,
        read: Callable[[bytes], Parsed],
        manifest: bundle_pb2.Manifest,
        root: str,
        get: Get,
    ) -> Parsed | None:
        entry = next((each for each in manifest.bundles if each.name == name), None)
        if entry is None:
            return None
        with self._lock:
            known = self._parsed.setdefault(name, {})
            if entry.sha256 not in known:
                known[entry.sha256] = read(self._body(entry, root, get))
                _forget_first(known)
            parsed: Parsed = known[entry.sha256]  # type: ignore[assignment]  # by name
            return parsed

    def _body(self, entry: bundle_pb2.ManifestEntry, root: str, get: Get) -> bytes:
        kept = self._folder and self._folder / entry.sha256.hex()
        if kept:
            with suppress(OSError):
                body = kept.read_bytes()
                if sha256(body).digest() == entry.sha256:
                    return body
        body = get(root + entry.path)
        if len(body) != entry.size_bytes or sha256(body).digest() != entry.sha256:
            raise Untrusted(f"{entry.path} has not the SHA-256 that was signed")
        if kept:
            # A disk that is full costs time, not the bundle.
            with suppress(OSError):
                _keep(kept, body)
        return body

    def _verified(self, content: bytes, version: int) -> bundle_pb2.Manifest:
        try:
            signed = bundle_pb2.SignedManifest.FromString(content)
            keys = self._keys or _keys_of(signed.manifest)
            if not any(
                _is_good(each, signed.manifest, keys) for each in signed.signatures
            ):
                raise Untrusted(f"no trusted key has signed the manifest of {version}")
            manifest = bundle_pb2.Manifest.FromString(signed.manifest)
        except DecodeError as exc:
            raise Untrusted(f"the manifest of {version} is not one") from exc
        if manifest.global_version != version:
            raise Untrusted(
                f"the manifest of {version} is that of {manifest.global_version}"
            )
        if version > self._newest:
            self._newest = version
            # One that names none must not make the TV trust whoever comes next.
            self._keys = _keys_of(signed.manifest) or keys
        return manifest


def _forget_first(known: dict[Any, Any]) -> None:
    while len(known) > BUNDLES_REMEMBERED:
        del known[next(iter(known))]


def _keep(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(body)
    fresh.replace(path)
    latest_first = sorted(
        path.parent.iterdir(), key=lambda each: each.stat().st_mtime_ns, reverse=True
    )
    for each in latest_first[BUNDLES_ON_DISK:]:
        each.unlink(missing_ok=True)


def key_id(public: bytes) -> str:
    return "k" + sha256(public).hexdigest()[:16]


def _keys_of(manifest: bytes) -> dict[str, bytes]:
    keys = [key.public_key for key in bundle_pb2.Manifest.FromString(manifest).keys]
    return {key_id(key): key for key in keys if len(key) == KEY_BYTES}


def _is_good(
    signature: bundle_pb2.ManifestSignature, manifest: bytes, keys: dict[str, bytes]
) -> bool:
    if signature.key_id not in keys:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(keys[signature.key_id]).verify(
            signature.signature, MANIFEST_STATEMENT + manifest
        )
    except InvalidSignature:
        return False
    return True

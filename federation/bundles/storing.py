"""Writing bundles with the version they belong to, on one database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import sha256

from django.db.models import (
    BinaryField,
    CharField,
    Exists,
    F,
    Func,
    OuterRef,
    Value,
)

from federation.bundles.made import MadeBundle
from federation.bundles.payloads import Payload
from federation.exceptions import BundleDamaged
from federation.models import Bundle, BundlePayload


def store(alias: str, version: int, bundles: Sequence[MadeBundle]) -> None:
    """Write a version's bundles; the caller holds the transaction.

    Bytes that the database has from an earlier version aren't sent again, and those
    that no version has any longer are deleted.
    """
    wanted = {bundle.sha256: bundle for bundle in bundles}
    there = set(
        BundlePayload.objects.using(alias)
        .filter(pk__in=wanted)
        .values_list("pk", flat=True)
    )
    for digest in sorted(wanted.keys() - there):
        # One by one: together the pages of a catalogue may be hundreds of megabytes.
        keep(alias, wanted[digest].load())
    Bundle.objects.using(alias).bulk_create(
        Bundle(
            version=version,
            name=bundle.name,
            path=bundle.path,
            payload_id=bundle.sha256,
            size_bytes=bundle.size_bytes,
            signature=bundle.signature,
            source=bundle.source,
        )
        for bundle in bundles
    )
    _delete_unused(alias)


def verify(alias: str, version: int, bundles: Sequence[MadeBundle]) -> None:
    """Have the database take the SHA-256 of what it stored, in all codings."""
    whole = {
        name: digest
        for name, digest, identity, zstd, zstd_told, gzip, gzip_told in (
            Bundle.objects.using(alias)
            .filter(version=version)
            .values_list(
                "name",
                "payload_id",
                _digest_there("payload__identity"),
                _digest_there("payload__zstd"),
                "payload__zstd_sha256",
                _digest_there("payload__gzip"),
                "payload__gzip_sha256",
            )
        )
        if (identity, zstd or "", gzip or "") == (digest, zstd_told, gzip_told)
    }
    for bundle in bundles:
        if whole.get(bundle.name) != bundle.sha256:
            raise BundleDamaged(database=alias, version=version, name=bundle.name)


def stored(alias: str, version: int) -> tuple[MadeBundle, ...]:
    """Read a version's bundles; their bytes when somebody lacks them."""
    bundles = Bundle.objects.using(alias).filter(version=version).order_by("name")
    return tuple(
        MadeBundle(
            name=bundle.name,
            path=bundle.path,
            sha256=bundle.payload_id,
            size_bytes=bundle.size_bytes,
            signature=bundle.signature,
            load=partial(kept, alias, bundle.payload_id),
            source=bundle.source,
        )
        for bundle in bundles
    )


def keep(alias: str, payload: Payload) -> None:
    """Write bytes that aren't there yet; the next store deletes what no bundle has."""
    row = BundlePayload(
        sha256=payload.sha256,
        identity=payload.identity,
        zstd=payload.zstd,
        gzip=payload.gzip,
        zstd_sha256=_digest(payload.zstd),
        gzip_sha256=_digest(payload.gzip),
    )
    BundlePayload.objects.using(alias).bulk_create([row], ignore_conflicts=True)


def kept(alias: str, digest: str) -> Payload:
    """Read bytes back."""
    row = BundlePayload.objects.using(alias).get(pk=digest)
    return Payload(
        sha256=row.sha256,
        identity=bytes(row.identity),
        zstd=None if row.zstd is None else bytes(row.zstd),
        gzip=None if row.gzip is None else bytes(row.gzip),
    )


def _delete_unused(alias: str) -> None:
    used = Bundle.objects.using(alias).filter(payload=OuterRef("pk"))
    BundlePayload.objects.using(alias).filter(~Exists(used)).delete()


def _digest_there(column: str) -> Func:
    """SHA-256 in hexadecimal, by the database."""
    digest = Func(F(column), function="sha256", output_field=BinaryField())
    return Func(
        digest, Value("hex"), function="encode", output_field=CharField(null=True)
    )


def _digest(encoded: bytes | None) -> str:
    return "" if encoded is None else sha256(encoded).hexdigest()

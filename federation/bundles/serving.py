"""Finding bundles: what a request of a cache reads. Nothing is made here."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import BinaryField, F, Func, IntegerField, QuerySet, Value

from federation.bundles.manifests import keys_in
from federation.bundles.signing import PublicKey
from federation.models import Bundle, BundlePayload, Publication

MANIFEST = "manifest"

#: Pages of the catalogue, in names and in paths.
PAGE_PREFIX = "catalogue/"


@dataclass(frozen=True)
class Coded:
    """A bundle's bytes in one coding."""

    size_bytes: int
    #: Of these bytes, in hexadecimal.
    sha256: str


@dataclass(frozen=True)
class Found:
    """A bundle that may be served, without its bytes."""

    alias: str
    #: Of the bytes without a coding, in hexadecimal.
    sha256: str
    signature: str
    #: By coding; those there are.
    codings: dict[str, Coded]  # zstd, gzip, identity


def find(alias: str, path: str) -> Found | None:
    """Look a path up among what a database has published; one query.

    What is staged isn't found before it is current.
    """
    row = (
        _published(alias)
        .filter(path=path)
        .order_by("-version")
        .values_list(
            "payload_id",
            "signature",
            _size("payload__zstd"),
            "payload__zstd_sha256",
            _size("payload__gzip"),
            "payload__gzip_sha256",
            _size("payload__identity"),
        )
        .first()
    )
    if row is None:
        return None
    digest, signature, zstd, zstd_digest, gzip, gzip_digest, identity = row
    coded = {
        "zstd": (zstd, zstd_digest),
        "gzip": (gzip, gzip_digest),
        "identity": (identity, digest),
    }
    return Found(
        alias=alias,
        sha256=digest,
        signature=signature,
        codings={
            coding: Coded(size_bytes, sha256)
            for coding, (size_bytes, sha256) in coded.items()
            if size_bytes is not None
        },
    )


def read(found: Found, coding: str, start: int, length: int) -> bytes | None:
    """Read some bytes of a bundle from its database; None if it is gone by now."""
    part = Func(
        F(coding),
        Value(start + 1, output_field=IntegerField()),
        Value(length, output_field=IntegerField()),
        function="substr",
        output_field=BinaryField(),
    )
    body = (
        BundlePayload.objects.using(found.alias)
        .filter(pk=found.sha256)
        .values_list(part, flat=True)
        .first()
    )
    return None if body is None else bytes(body)


def kept_versions(alias: str) -> list[int]:
    """List the versions that are served, newest first."""
    return list(
        Publication.objects.using(alias)
        .filter(version__lte=_current(alias))
        .order_by("-version")
        .values_list("version", flat=True)
    )


def paths_below(alias: str, directory: str, *, limit: int) -> list[str]:
    """List some of the paths that are served below a directory, in order."""
    below = _published(alias).filter(path__startswith=directory).order_by("path")
    return list(below.values_list("path", flat=True).distinct()[:limit])


def paths_of(alias: str, version: int) -> dict[str, str]:
    """Give the path of each bundle by its name, without the catalogue's pages."""
    return dict(
        Bundle.objects.using(alias)
        .filter(version=version)
        .exclude(name__startswith=PAGE_PREFIX)
        .order_by("name")
        .values_list("name", "path")
    )


def announced_keys(alias: str) -> list[PublicKey]:
    """Read the keys that the current manifest announces; none before the first."""
    body = (
        _published(alias)
        .filter(name=MANIFEST)
        .order_by("-version")
        .values_list("payload__identity", flat=True)
        .first()
    )
    return [] if body is None else keys_in(bytes(body))


def _published(alias: str) -> QuerySet[Bundle]:
    return Bundle.objects.using(alias).filter(version__lte=_current(alias))


def _current(alias: str) -> QuerySet[Publication, int]:
    return (
        Publication.objects.using(alias)
        .filter(is_current=True)
        .values_list("version", flat=True)
    )


def _size(column: str) -> Func:
    return Func(F(column), function="octet_length", output_field=IntegerField())

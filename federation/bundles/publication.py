"""All bundles of one version, made from its result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby

from federation.bundles import messages
from federation.bundles.catalogue import catalogue
from federation.bundles.made import MadeBundle, made_of
from federation.bundles.manifests import Entry, signed_manifest
from federation.bundles.serving import MANIFEST
from federation.bundles.signing import KeyRing
from federation.codebooks import PATH_PREFIX
from federation.kernels.trends import GLOBAL_REGION
from federation.result import RoundResult

CODEBOOK = "codebook"
TRENDS_PREFIX = "trends/"


def of_publication(
    ring: KeyRing,
    result: RoundResult,
    *,
    version: int,
    checksum: str,
    published_at: datetime,
    ordinals: Mapping[str, int],
    rollback_of: int | None = None,
    codebooks: Mapping[int, bytes] | None = None,
) -> tuple[MadeBundle, ...]:
    """Make every bundle of a version, the manifest too; some seconds of one core.

    ``ordinals`` are those of all items, ``genre:…`` among them; an item without one
    travels by name. ``codebooks`` are the bytes of those that should be served, by
    their version: the highest is the publication's own. Reads the catalogue from the
    control database.
    """
    result_bundles = _of_result(ring, result, version, ordinals)
    own_codebook = max(codebooks or {}, default=0)
    codebook_bundles = [
        of_codebook(ring, number, body, is_current=number == own_codebook)
        for number, body in (codebooks or {}).items()
    ]
    bundles = [*result_bundles, *codebook_bundles, *catalogue(ring, version)]
    manifest = signed_manifest(
        ring,
        version=version,
        published_at=published_at,
        checksum=checksum,
        rollback_of=rollback_of,
        codebook_version=own_codebook,
        entries=[
            Entry(bundle.name, bundle.path, bundle.sha256, bundle.size_bytes)
            for bundle in bundles
            if _is_in_manifest(bundle.name)
        ],
    )
    path = f"publications/{version}/{MANIFEST}"
    return (*bundles, made_of(ring, MANIFEST, path, manifest))


def of_codebook(
    ring: KeyRing, codebook_version: int, body: bytes, *, is_current: bool
) -> MadeBundle:
    """Make the bundle of a codebook, whose address outlives publications."""
    path = codebook_path(codebook_version)
    return made_of(ring, CODEBOOK if is_current else path, path, body)


def codebook_path(codebook_version: int) -> str:
    return f"{PATH_PREFIX}{codebook_version}"


def _of_result(
    ring: KeyRing, result: RoundResult, version: int, ordinals: Mapping[str, int]
) -> list[MadeBundle]:
    bodies = {
        "patterns": messages.patterns(result, ordinals),
        "links": messages.links(result.links, ordinals),
        "items": messages.items(ordinals),
        # There even when nothing is trending: TVs may rely on it.
        TRENDS_PREFIX + GLOBAL_REGION: messages.trends(GLOBAL_REGION, (), ordinals),
    }
    for region, of_region in groupby(result.trends, key=lambda trend: trend.region):
        rows = list(of_region)
        bodies[TRENDS_PREFIX + region] = messages.trends(region, rows, ordinals)
    return [
        made_of(ring, name, f"publications/{version}/{name}", body)
        for name, body in bodies.items()
    ]


def _is_in_manifest(name: str) -> bool:
    """Pages stand in the catalogue, and former codebooks in former manifests."""
    return "/" not in name or name.startswith(TRENDS_PREFIX)

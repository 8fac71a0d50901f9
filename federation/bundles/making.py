"""The bundles of a round's result, with all that this installation adds to them."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from federation.bundles import keys
from federation.bundles.made import MadeBundle
from federation.bundles.publication import of_publication
from federation.result import RoundResult


def bundles_of(
    result: RoundResult,
    *,
    version: int,
    checksum: str,
    ordinals: Mapping[str, int],
    rollback_of: int | None = None,
    codebooks: Mapping[int, bytes] | None = None,
) -> tuple[MadeBundle, ...]:
    """Make and sign the bundles of a version, some seconds before it goes out."""
    return of_publication(
        keys.ring(),
        result,
        version=version,
        checksum=checksum,
        published_at=timezone.now(),
        ordinals=ordinals,
        rollback_of=rollback_of,
        codebooks=codebooks,
    )

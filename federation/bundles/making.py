"""The bundles of a round's result, with all that this installation adds to them."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from federation.bundles import keys, messages
from federation.bundles.made import MadeBundle
from federation.bundles.publication import of_publication
from federation.result import RoundResult
from patterns.models import Content


def bundles_of(
    result: RoundResult,
    *,
    version: int,
    checksum: str,
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
        ordinals=_ordinals(result),
        rollback_of=rollback_of,
        codebooks=codebooks,
    )


def _ordinals(result: RoundResult) -> dict[str, int]:
    used = messages.items_of(result)
    ordinals = Content.objects.values_list("content_id", "ordinal")
    return {item: ordinal for item, ordinal in ordinals.iterator() if item in used}

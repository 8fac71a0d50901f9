"""Publications with bundles for tests: made and stored as a round does it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from django.db import transaction

from federation import rows
from federation.bundles import storing
from federation.bundles.made import MadeBundle
from federation.bundles.publication import of_publication
from federation.bundles.signing import KeyRing, SigningKey
from federation.models import Publication
from federation.result import ResultLinks, ResultPattern, ResultTrend, RoundResult

#: Its seed is that of the first test vector of RFC 8032, section 7.1.
KEY = SigningKey(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
OTHER_KEY = SigningKey(bytes(range(32)))

PUBLISHED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

#: Of the catalogue; ``film-x`` and the genres have none.
ORDINALS = {"film-a": 7, "film-b": 3, "film-c": 1001}


def a_result(pattern_count: int = 3, *, seed: int = 1) -> RoundResult:
    embeddings = np.random.default_rng(seed).standard_normal((pattern_count, 384))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return RoundResult(
        patterns=tuple(
            ResultPattern(
                cell=5 * number + 2,
                success_rate=0.75,
                sample_count=1200 + number,
                mass=61.5,
                device_count=60,
                batch_count=2,
                time_of_day=4,
                day_of_week=6,
                content_type=1,
                genre_hints=("drama", "comédie")[: number % 3],
                content_ids=("film-a", "film-x")[: 2 - number % 3],
            )
            for number in range(pattern_count)
        ),
        trends=(
            ResultTrend("eu", 1, "film-b", 0.9, 0.2, 0.01, 60),
            ResultTrend("eu", 2, "genre:drama", 0.1, 0.4, 0.4, 120),
            ResultTrend("global", 1, "film-x", 0.5, 0.2, 0.01, 60),
        ),
        links=(
            ResultLinks("film-a", ("film-x", "film-b"), (1.0, 0.25)),
            ResultLinks("film-b", ("film-a",), (0.5,)),
            ResultLinks("film-x", ("film-c",), (0.0,)),
        ),
        embeddings=embeddings.astype(np.float32),
        source_counts=np.full(pattern_count, 3),
    )


def make(
    *,
    version: int = 18,
    result: RoundResult | None = None,
    ring: KeyRing | None = None,
    ordinals: Mapping[str, int] = ORDINALS,
    codebooks: Mapping[int, bytes] | None = None,
) -> dict[str, MadeBundle]:
    """All bundles of a version, by name."""
    result = a_result() if result is None else result
    bundles = of_publication(
        ring or KeyRing(current=KEY),
        result,
        version=version,
        checksum=result.checksum(),
        published_at=PUBLISHED_AT,
        ordinals=ordinals,
        codebooks=codebooks,
    )
    return {bundle.name: bundle for bundle in bundles}


def put_out(
    *aliases: str,
    version: int = 18,
    is_current: bool = True,
    result: RoundResult | None = None,
    ring: KeyRing | None = None,
    codebooks: Mapping[int, bytes] | None = None,
) -> dict[str, MadeBundle]:
    """Store a version with its bundles; current, or only staged."""
    result = a_result() if result is None else result
    made = make(version=version, result=result, ring=ring, codebooks=codebooks)
    for alias in aliases:
        with transaction.atomic(using=alias):
            rows.write_result(alias, version, result)
            storing.store(alias, version, list(made.values()))
            if is_current:
                Publication.objects.using(alias).update(is_current=False)
            Publication.objects.using(alias).create(
                version=version,
                is_current=is_current,
                round_id=version,
                checksum=result.checksum(),
                pattern_count=len(result.patterns),
                trend_count=len(result.trends),
                link_count=len(result.links),
                published_at=PUBLISHED_AT,
            )
    return made

"""A publication for tests of the answer: written as a round writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any, NoReturn
from uuid import uuid4

import numpy as np
from django.utils import timezone
from numpy.typing import NDArray

from federation import rows
from federation.bundles.messages import items_of
from federation.codebooks import PATH_PREFIX, to_payload
from federation.kernels.codebook import Codebook
from federation.models import Bundle, BundlePayload, Publication
from federation.result import ResultLinks, ResultPattern, ResultTrend, RoundResult
from patterns.context import TimeOfDay
from patterns.services import items

#: Cells are numbered from here, so that a row is never mistaken for a cell.
FIRST_CELL = 1000


def never_asked(_held_version: int) -> NoReturn:
    """Stands for the publication where nobody needs to know it."""
    raise AssertionError("the publication was asked for")


def publish(
    *aliases: str,
    version: int,
    centroids: NDArray[np.floating[Any]] | None = None,
    masses: Sequence[float] | None = None,
    trends: Mapping[str, Sequence[str]] | None = None,
    links: Mapping[str, Sequence[str]] | None = None,
    codebooks: Sequence[int] = (),
) -> None:
    """Make a version current on some databases.

    ``trends`` gives the items of each region, strongest first, ``links`` what leads
    on from each content, ``codebooks`` the versions that are understood.
    """
    vectors = np.zeros((0, 384)) if centroids is None else centroids
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    result = RoundResult(
        patterns=tuple(
            _pattern(FIRST_CELL + row, masses[row] if masses else 1.0)
            for row in range(len(unit))
        ),
        trends=tuple(
            _trend(region, rank, item)
            for region, named in sorted((trends or {}).items())
            for rank, item in enumerate(named, start=1)
        ),
        links=tuple(
            ResultLinks(content_id, tuple(related), (0.5,) * len(related))
            for content_id, related in sorted((links or {}).items())
        ),
        embeddings=unit.astype(np.float32),
        source_counts=np.full(len(unit), 3),
    )
    # One sum a publication, as a process keeps what it has loaded under it.
    checksum = uuid4().hex
    items.register(sorted(items_of(result)))
    for alias in aliases:
        items.copy_new(alias)
        rows.write_result(alias, version, result)
        for number in codebooks:
            _carry_codebook(alias, version, number)
        Publication.objects.using(alias).update(is_current=False)
        Publication.objects.using(alias).create(
            version=version,
            is_current=True,
            round_id=version,
            checksum=checksum,
            pattern_count=len(result.patterns),
            trend_count=len(result.trends),
            link_count=len(result.links),
            published_at=timezone.now(),
        )


@cache
def a_codebook(version: int) -> Codebook:
    """Make a codebook that describes nothing well, but follows all rules."""
    rng = np.random.default_rng(version)
    basis = np.linalg.qr(rng.normal(size=(384, 256)))[0].T
    scales = np.abs(basis).max(axis=1) / 127
    return Codebook(
        mean=rng.normal(0, 0.01, size=384).astype(np.float32),
        basis=np.rint(basis / scales[:, None]).astype(np.int8, order="C"),
        basis_scales=scales.astype(np.float32),
        centroids=rng.integers(-127, 128, (6, 8, 256, 32)).astype(np.int8),
        centroid_scales=(0.001 * 0.7 ** np.arange(6)[:, None] * np.ones(8)).astype(
            np.float32
        ),
    )


def _carry_codebook(alias: str, version: int, codebook_version: int) -> None:
    payload = to_payload(a_codebook(codebook_version), codebook_version)
    kept, _ = BundlePayload.objects.using(alias).get_or_create(
        sha256=sha256(payload).hexdigest(), defaults={"identity": payload}
    )
    Bundle.objects.using(alias).create(
        version=version,
        name=f"codebook/{codebook_version}",
        path=f"{PATH_PREFIX}{codebook_version}",
        payload_id=kept.sha256,
        size_bytes=len(payload),
        signature="",
    )


def _pattern(cell: int, mass: float) -> ResultPattern:
    return ResultPattern(
        cell=cell,
        success_rate=0.9,
        sample_count=1200,
        mass=mass,
        device_count=60,
        batch_count=2,
        time_of_day=TimeOfDay.EVENING,
        day_of_week=0,
        content_type=0,
        genre_hints=("drama",),
        content_ids=(f"tt{cell}",),
    )


def _trend(region: str, rank: int, item: str) -> ResultTrend:
    return ResultTrend(
        region=region,
        rank=rank,
        item=item,
        score=round(1 / rank, 4),
        rate=0.1,
        usual_rate=0.01,
        device_count=60,
    )

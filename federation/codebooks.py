"""The codebooks that a publication came with, ready to read and write codes.

Shards have them as bundles of each publication: what TVs fetch is what servers use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from django.db.models import QuerySet

from constellation.v1 import codebook_pb2
from federation.kernels.codebook import Codebook, codebook_of
from federation.models import Bundle

#: Where their bundles are served, below ``/api/v1/``.
PATH_PREFIX = "codebooks/"


@dataclass(frozen=True, eq=False)
class Codebooks:
    """All that are understood."""

    by_version: Mapping[int, Codebook] = field(default_factory=dict)
    #: By the SHA-256 of their payloads, so that none is read twice.
    by_digest: Mapping[str, Codebook] = field(default_factory=dict)

    @property
    def current(self) -> int:
        """The version that TVs should have; 0 before the first."""
        return max(self.by_version, default=0)

    @property
    def versions(self) -> Sequence[int]:
        """Ascending."""
        return sorted(self.by_version)

    def get(self, version: int) -> Codebook | None:
        return self.by_version.get(version)


def load(alias: str, global_version: int, *, known: Codebooks) -> Codebooks:
    """Read the codebooks of a publication, at most four rows of half a megabyte.

    Those of ``known`` that it has are taken from there.
    """
    bundles = _bundles(alias).filter(version=global_version)
    digests = {
        _version_at(path): digest
        for path, digest in bundles.values_list("path", "payload_id")
    }
    missing = set(digests.values()) - known.by_digest.keys()
    by_digest = {
        digest: from_payload(bytes(payload))
        for digest, payload in bundles.filter(payload__in=missing).values_list(
            "payload_id", "payload__identity"
        )
    }
    for digest in digests.values():
        if digest not in by_digest:
            by_digest[digest] = known.by_digest[digest]
    return Codebooks(
        by_version={version: by_digest[digest] for version, digest in digests.items()},
        by_digest=by_digest,
    )


def newest_version(alias: str) -> int:
    """The highest version that a database has, staged or published; 0 without any."""
    paths = _bundles(alias).values_list("path", flat=True).distinct()
    return max(map(_version_at, paths), default=0)


def to_payload(codebook: Codebook, version: int) -> bytes:
    """Write the message ``Codebook``."""
    message = codebook_pb2.Codebook(
        version=version,
        mean=codebook.mean.tolist(),
        basis=codebook.basis.tobytes(),
        basis_scales=codebook.basis_scales.tolist(),
        centroids=codebook.centroids.tobytes(),
        centroid_scales=codebook.centroid_scales.ravel().tolist(),
    )
    return message.SerializeToString(deterministic=True)


def from_payload(payload: bytes) -> Codebook:
    """Read the message ``Codebook``; raises ``KernelInputError`` for another shape."""
    message = codebook_pb2.Codebook.FromString(payload)
    return codebook_of(
        mean=np.array(message.mean, dtype=np.float32),
        basis=np.frombuffer(message.basis, dtype=np.int8),
        basis_scales=np.array(message.basis_scales, dtype=np.float32),
        centroids=np.frombuffer(message.centroids, dtype=np.int8),
        centroid_scales=np.array(message.centroid_scales, dtype=np.float32),
    )


def _bundles(alias: str) -> QuerySet[Bundle]:
    return Bundle.objects.using(alias).filter(path__startswith=PATH_PREFIX)


def _version_at(path: str) -> int:
    return int(path.removeprefix(PATH_PREFIX))

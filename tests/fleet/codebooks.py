"""A codebook in which the directions of ``patterns.py`` have exact codes."""

from __future__ import annotations

import numpy as np

from constellation.v1 import codebook_pb2


def codebook_body(version: int = 1, *, seed: int = 3) -> bytes:
    """Directions 0 to 255 are centroids of the first stage; the rest is noise."""
    rng = np.random.default_rng(seed)
    centroids = rng.integers(-127, 128, (6, 8, 256, 32)).astype(np.int8)
    centroids[:, :, 0] = 0
    centroids[0, :, 1:33] = 100 * np.eye(32, dtype=np.int8)
    scales = np.full((6, 8), 1 / 100, np.float32)
    scales[1:] = rng.uniform(0.0002, 0.0005, (5, 8))
    return codebook_pb2.Codebook(
        version=version,
        mean=np.zeros(384, np.float32),
        basis=(100 * np.eye(256, 384)).astype(np.int8).tobytes(),
        basis_scales=np.full(256, 1 / 100, np.float32),
        centroids=centroids.tobytes(),
        centroid_scales=scales.ravel(),
    ).SerializeToString()


def any_codebook_body(*, seed: int = 4) -> bytes:
    """A mean, a turned basis and tables that get finer: nothing is exact."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((384, 256)))[0].T
    basis_scales = np.abs(basis).max(axis=1) / 127
    centroids = rng.integers(-127, 128, (6, 8, 256, 32)).astype(np.int8)
    finer = 0.6 ** np.arange(6)[:, None] * rng.uniform(0.8, 1.2, (6, 8))
    return codebook_pb2.Codebook(
        version=7,
        mean=rng.normal(0, 0.01, 384).astype(np.float32),
        basis=np.rint(basis / basis_scales[:, None]).astype(np.int8).tobytes(),
        basis_scales=basis_scales.astype(np.float32),
        centroids=centroids.tobytes(),
        centroid_scales=(finer * 0.06 / 127).astype(np.float32).ravel(),
    ).SerializeToString()

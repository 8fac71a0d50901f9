"""Seeded TVs for the kernels: what is in them was planted, so it can be looked for."""

from __future__ import annotations

import numpy as np

from federation.kernels import PatternBlock, concatenate_blocks
from federation.kernels.sampling import PatternSample, PatternSampler

SEED = 0x5EED


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def directions(rng, count):
    return unit(rng.normal(size=(count, 384)))


def around(rng, centres, *, cosine):
    """One vector near each centre."""
    noise = rng.normal(size=centres.shape) / np.sqrt(centres.shape[-1])
    near = cosine * centres + np.sqrt(1 - cosine**2) * noise
    return unit(near).astype(np.float32)


def block_of(rng, patterns_per_device, *, embeddings=None, **columns):
    """A block with that many patterns of each TV; columns given replace random ones."""
    n_devices = len(patterns_per_device)
    n_rows = int(np.sum(patterns_per_device))
    device_index = np.repeat(np.arange(n_devices), patterns_per_device)
    device_ids = rng.integers(0, 1 << 63, (n_devices, 2), dtype=np.uint64)
    pattern_ids = rng.integers(0, 1 << 63, (n_rows, 2), dtype=np.uint64)
    defaults = {
        "pattern_keys": np.hstack([device_ids[device_index], pattern_ids]),
        "device_index": device_index,
        "embeddings": directions(rng, n_rows).astype(np.float32)
        if embeddings is None
        else embeddings,
        "success_rate": rng.uniform(0.8, 1, n_rows).astype(np.float32),
        "sample_count": rng.integers(1, 40, n_rows),
        "time_of_day": rng.integers(0, 7, n_rows).astype(np.int8),
        "day_of_week": rng.integers(0, 10, n_rows).astype(np.int8),
        "content_type": rng.integers(0, 12, n_rows).astype(np.int8),
        "genres": [names(rng, "genre", 4, 2) for _ in range(n_rows)],
        "content_ids": [names(rng, "tt", 30, 5) for _ in range(n_rows)],
        "is_fresh": rng.random(n_rows) < 0.6,
        "device_region": [("eu", "us", "global")[i % 3] for i in range(n_devices)],
        "device_batch": rng.integers(1, 5, n_devices),
    }
    return PatternBlock(**{**defaults, **columns})


def names(rng, prefix, n_names, at_most):
    count = int(rng.integers(0, at_most + 1))
    return [f"{prefix}-{n}" for n in rng.integers(0, n_names, count)]


def cut(block, n_parts):
    """The same TVs in blocks of their own."""
    return [
        block.take_devices(devices)
        for devices in np.array_split(np.arange(block.n_devices), n_parts)
    ]


def dealt(block, n_shards):
    """The same TVs, dealt out over shards."""
    devices = np.arange(block.n_devices)
    return [block.take_devices(devices[shard::n_shards]) for shard in range(n_shards)]


def sample_of(*blocks, capacity=1 << 16) -> PatternSample:
    sampler = PatternSampler(capacity=capacity, seed=SEED)
    for block in blocks:
        sampler.add(block)
    return sampler.sample()


def planted(rng, centres, *, households, tastes=3, cosine=0.8):
    """Households with some tastes each; the block and the cluster of each row."""
    clusters = np.concatenate(
        [rng.choice(len(centres), tastes, replace=False) for _ in range(households)]
    )
    embeddings = around(rng, centres[clusters], cosine=cosine)
    return block_of(rng, [tastes] * households, embeddings=embeddings), clusters


def nothing():
    return block_of(np.random.default_rng(0), [])


__all__ = [
    "SEED",
    "around",
    "block_of",
    "concatenate_blocks",
    "cut",
    "dealt",
    "directions",
    "nothing",
    "planted",
    "sample_of",
    "unit",
]

"""A small published past for the console's tests, and people who look at it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from federation.models import FederationRound, GlobalPattern, Publication, Trend
from patterns.models import Content
from patterns.services import items
from patterns.vectors import EMBEDDING_DIMENSIONS
from shards.services import operators
from shards.services.operators import Role

CHECKSUM = "ab" * 32


def logged_in(client: Client, role: Role) -> Client:
    """Let somebody with this role, named after it, use the console."""
    operators.ensure_operator(username=role.value, role=role)
    client.force_login(User.objects.get(username=role.value))
    return client


def direction(*weights: float) -> list[float]:
    """Point along the first dimensions by these weights; unit length."""
    vector = np.zeros(EMBEDDING_DIMENSIONS)
    vector[: len(weights)] = weights
    return list(vector / np.linalg.norm(vector))


def add_round(**fields: Any) -> FederationRound:
    now = timezone.now()
    return FederationRound.objects.create(
        **{
            "status": FederationRound.Status.PUBLISHED,
            "started_at": now - timedelta(seconds=40),
            "finished_at": now,
            "lease_until": now,
            "parameters": {"min_sources": 3, "min_devices": 50, "min_batches": 1},
            **fields,
        }
    )


def publish(version: int, **fields: Any) -> Publication:
    """Make a version current, from a round of its own."""
    Publication.objects.update(is_current=False)
    return Publication.objects.create(
        **{
            "version": version,
            "is_current": True,
            "round_id": add_round(global_version=version).pk,
            "checksum": CHECKSUM,
            "pattern_count": 1,
            "trend_count": 1,
            "link_count": 0,
            "published_at": timezone.now(),
            **fields,
        }
    )


def cell_of(version: int, cell: int, **fields: Any) -> GlobalPattern:
    """An unsaved global pattern."""
    return GlobalPattern(
        **{
            "version": version,
            "cell": cell,
            "embedding": direction(1.0, cell / 1_000),
            "success_rate": 0.9,
            "sample_count": 1_200,
            "mass": 10.0,
            "device_count": 60,
            "source_count": 3,
            "batch_count": 1,
            **fields,
        }
    )


def trend_of(version: int, item: str, **fields: Any) -> Trend:
    """An unsaved trend."""
    return Trend(
        **{
            "version": version,
            "region": "eu-west",
            "item": item,
            "rank": 1,
            "score": 0.8,
            "rate": 0.12,
            "usual_rate": 0.02,
            "device_count": 120,
            **fields,
        }
    )


def add_content(content_id: str, title: str, **fields: Any) -> Content:
    return Content.objects.create(
        ordinal=items.register([content_id])[content_id],
        content_id=content_id,
        title=title,
        embedding=direction(1.0),
        **fields,
    )

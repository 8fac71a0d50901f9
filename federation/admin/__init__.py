"""Rounds and what they published: everything to look at, and a schedule."""

from __future__ import annotations

from federation.admin import (
    codebooks,
    patterns,
    publications,
    quarantine,
    rounds,
    schedules,
    trends,
    workers,
)

__all__ = [
    "codebooks",
    "patterns",
    "publications",
    "quarantine",
    "rounds",
    "schedules",
    "trends",
    "workers",
]

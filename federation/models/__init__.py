"""Rounds, what they publish, and who works on them."""

from __future__ import annotations

from federation.models.bundles import Bundle, BundlePayload, TrainedCodebook
from federation.models.memory import RoundCells, TrendHistory, TrendShardHistory
from federation.models.privacy import PrivacySpending, Quarantine
from federation.models.publications import GlobalPattern, Link, Publication, Trend
from federation.models.rounds import (
    FederationRound,
    RoundEvent,
    RoundPart,
    RoundShard,
    RoundUnit,
)
from federation.models.workers import Schedule, Worker

__all__ = [
    "Bundle",
    "BundlePayload",
    "FederationRound",
    "GlobalPattern",
    "Link",
    "PrivacySpending",
    "Publication",
    "Quarantine",
    "RoundCells",
    "RoundEvent",
    "RoundPart",
    "RoundShard",
    "RoundUnit",
    "Schedule",
    "TrainedCodebook",
    "Trend",
    "TrendHistory",
    "TrendShardHistory",
    "Worker",
]

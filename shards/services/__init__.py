"""Writes, by subject: ``services.enrolment.enrol(...)``, ``services.batches...``."""

from __future__ import annotations

from shards.services import batches, devices, enrolment, operators, shards
from shards.services.enrolment import enrol
from shards.services.shards import ensure_shards

__all__ = [
    "batches",
    "devices",
    "enrol",
    "enrolment",
    "ensure_shards",
    "operators",
    "shards",
]

"""What operators see of shards and enrolment batches; a TV has the look-up."""

from __future__ import annotations

from shards.admin import batches, shards

__all__ = ["batches", "shards"]

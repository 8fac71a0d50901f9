"""Telling workers elsewhere that there is work; they may all miss it.

Units of work are rows that anybody claims. Whoever is told only comes sooner.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import structlog
from celery import current_app

from federation import workers
from federation.models import RoundUnit

#: A worker that is free comes within a fraction of it.
HEAD_START = timedelta(seconds=1)

_TASKS = {
    RoundUnit.Step.SAMPLING: "federation.collect",
    RoundUnit.Step.COLLECTING: "federation.collect",
    RoundUnit.Step.STAGING: "federation.distribute",
    RoundUnit.Step.FLIPPING: "federation.distribute",
}

log = structlog.get_logger(__name__)


def wake(step: RoundUnit.Step, unit_ids: Collection[int]) -> timedelta:
    """Tell workers of units, and how long to leave those to them; zero without any."""
    if not unit_ids or not workers.are_there():
        return timedelta(0)
    try:
        with current_app.producer_or_acquire() as producer:
            for unit_id in unit_ids:
                current_app.send_task(_TASKS[step], (unit_id,), producer=producer)
    except Exception as exc:
        # Each broker has errors of its own, and nobody depends on any.
        log.warning("workers were not told", problem=str(exc).strip())
        return timedelta(0)
    return HEAD_START

"""When a shard will be full, if it goes on as it has. Arithmetic; no queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import linear_regression

#: Older growth says little about the next weeks.
HISTORY = timedelta(days=28)

#: Less says more about the time of day than about growth.
SHORTEST_HISTORY = timedelta(days=1)

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Point:
    at: datetime
    device_count: int


@dataclass(frozen=True, kw_only=True)
class Forecast:
    #: TVs a day, negative for a shard that is being emptied.
    growth_per_day: float
    #: 0 for one that is full; None for one that doesn't grow.
    days_to_full: float | None


def forecast(points: Sequence[Point], *, free_places: int) -> Forecast | None:
    """Draw a straight line through ``points``, in order; None if they span too little.

    Least squares over all of them, so that one odd hour moves it little.
    """
    if not points or points[-1].at - points[0].at < SHORTEST_HISTORY:
        return None
    growth_per_day = linear_regression(
        [(point.at - points[0].at) / _DAY for point in points],
        [point.device_count for point in points],
    ).slope
    return Forecast(
        growth_per_day=growth_per_day,
        days_to_full=_days_to_full(free_places, growth_per_day),
    )


def _days_to_full(free_places: int, growth_per_day: float) -> float | None:
    if free_places == 0:
        return 0.0
    if growth_per_day <= 0:
        return None
    return free_places / growth_per_day

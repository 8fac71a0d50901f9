"""Telling workers elsewhere that there is work; they may all miss it.

Units of work are rows that anybody claims. Whoever is told only comes sooner.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta


def wake(_step: str, _unit_ids: Collection[int]) -> timedelta:
    """Tell workers of units, and how long to leave those to them; zero without any."""
    return timedelta(0)

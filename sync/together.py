"""What TVs of one event loop ask for in the same turn, searched for all at once."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from federation.publication import LoadedPublication
from patterns.selectors import Tastes
from sync import answer


class _Asked(NamedTuple):
    publication: LoadedPublication
    tastes: Tastes
    found: asyncio.Future[NDArray[np.int64]]


class SearchTogether:
    """Belongs to one event loop.

    The syncs of a group hear of their commit in the same turn, so those among them
    that are behind ask together: a search for ten takes as long as three alone.
    """

    def __init__(self) -> None:
        self._asked: list[_Asked] = []

    async def similar(
        self, publication: LoadedPublication, tastes: Tastes
    ) -> NDArray[np.int64]:
        """Choose the rows nearest to a TV's tastes, as ``answer.similar`` does."""
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._search)
        asked = _Asked(publication, tastes, loop.create_future())
        self._asked.append(asked)
        return await asked.found

    def _search(self) -> None:
        asked, self._asked = self._asked, []
        # A publication may be replaced between two that ask.
        for _, group in groupby(asked, key=lambda each: id(each.publication)):
            _answer(list(group))


def _answer(asked: list[_Asked]) -> None:
    try:
        found = answer.similar(asked[0].publication, [each.tastes for each in asked])
    except Exception as exc:
        for each in asked:
            each.found.set_exception(exc)
        return
    for each, rows in zip(asked, found, strict=True):
        if not each.found.done():
            each.found.set_result(rows)

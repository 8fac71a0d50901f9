"""A fleet meets its shard again after an outage: who comes when, with the real pacing.

Second by second, TVs are counted by what befell them; what each does next is decided
by the code that decides it in earnest, TVs' ``fleet.backoff`` and servers'
``sync.pacing``, one call for each TV that comes. Only the answering itself is a model:
so many a second, ten times as many sent away, and the others hear nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet.backoff import Backoff
from sync import pacing
from sync.pacing import NEXT_SYNC_SECONDS, Pacing

#: Arrivals of a minute must not exceed so many times the capacity.
LIMIT = 1.2

#: A process that is at its limit still sends away so many times what it answers.
TURNED_AWAY_PER_ANSWER = 10

#: Longer than any TV stays away: twice the pace of a full shard.
_RING_SECONDS = 4 * 3600

OUTAGE_MINUTES = 60
WATCHED_MINUTES = 90


@dataclass(kw_only=True)
class Herd:
    """Some TVs, and the processes of their shard."""

    tvs: int
    #: Syncs a second, of all processes together.
    capacity: int
    processes: int = 2
    seed: int = 1
    now: int = 0
    #: TVs by when they come (rows, as a ring) and how often they failed (columns).
    due: NDArray[np.int64] = field(init=False)
    #: When each minute was over: those who came, and those who were answered.
    minutes: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self.backoff = Backoff(rng=Random(self.seed))
        self.due = np.zeros((_RING_SECONDS, self.backoff.attempts), dtype=np.int64)
        self._servers = [
            Pacing(lambda: float(self.now), Random(self.seed + number))
            for number in range(self.processes)
        ]
        #: What TVs were told when all was well.
        self.pace = max(
            self.tvs / (self.capacity * pacing.FILL), float(np.mean(NEXT_SYNC_SECONDS))
        )

    def spread_over(self, seconds: float) -> None:
        """Have all TVs come within so many seconds."""
        times = self._rng.integers(0, max(1, round(seconds)), self.tvs)
        self.due[:, 0] += np.bincount(times, minlength=_RING_SECONDS)

    def know_their_capacity(self) -> None:
        """Have the processes answered as many TVs before."""
        for server in self._servers:
            server.capacity = self.capacity / self.processes

    def live(self, minutes: int, *, is_away: bool = False) -> None:
        """Go on for some time, during which the shard may be away."""
        for _ in range(minutes):
            came = answered = 0
            for _ in range(60):
                arrivals = self._arrivals()
                came += int(arrivals.sum())
                answered += self._meet(arrivals, is_away=is_away)
                self.now += 1
            self.minutes.append((came, answered))

    @property
    def by_capacity(self) -> list[float]:
        """Arrivals of each minute, 1 being all that could be answered."""
        return [round(came / (60 * self.capacity), 3) for came, _ in self.minutes]

    def _arrivals(self) -> NDArray[np.int64]:
        row = self.due[self.now % _RING_SECONDS]
        arrivals: NDArray[np.int64] = row.copy()
        row[:] = 0
        return arrivals

    def _meet(self, arrivals: NDArray[np.int64], *, is_away: bool) -> int:
        """Answer some, send some away; the others hear nothing."""
        places = 0 if is_away else self.capacity
        served = self._pick(arrivals, places)
        left = arrivals - served
        away = self._pick(left, places * TURNED_AWAY_PER_ANSWER)
        used = min(1.0, float(arrivals.sum()) / max(1, places))
        for server, share in zip(self._servers, self._shares(served), strict=True):
            for _ in range(int(share.sum())):
                self._come(server.next_sync_seconds(used), 0)
        for server, share in zip(self._servers, self._shares(away), strict=True):
            self._send_away(server, share)
        self._hear_nothing(left - away)
        return int(served.sum())

    def _pick(self, arrivals: NDArray[np.int64], places: int) -> NDArray[np.int64]:
        """Choose at random among those who came, as many as there are places."""
        if arrivals.sum() <= places:
            return arrivals
        chosen: NDArray[np.int64] = self._rng.multivariate_hypergeometric(
            arrivals, places
        )
        return chosen

    def _shares(self, arrivals: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Share TVs out among the processes."""
        left = arrivals
        for remaining in range(self.processes, 1, -1):
            share = self._rng.binomial(left, 1 / remaining)
            yield share
            left = left - share
        yield left

    def _send_away(self, server: Pacing, arrivals: NDArray[np.int64]) -> None:
        for failures, count in enumerate(arrivals.tolist(), start=1):
            for _ in range(count):
                asked = server.retry_after_seconds()
                self._fail(failures, retry_after=str(asked))

    def _hear_nothing(self, arrivals: NDArray[np.int64]) -> None:
        for failures, count in enumerate(arrivals.tolist(), start=1):
            for _ in range(count):
                self._fail(failures, retry_after=None)

    def _fail(self, failures: int, *, retry_after: str | None) -> None:
        if failures >= self.backoff.attempts:
            self._come(self.backoff.next_sync_seconds(self.pace), 0)
            return
        wait = self.backoff.wait_seconds(failures, retry_after=retry_after)
        self._come(wait, failures)

    def _come(self, seconds: float, failures: int) -> None:
        later = max(1, min(round(seconds), _RING_SECONDS - 1))
        self.due[(self.now + later) % _RING_SECONDS, failures] += 1


def after_an_outage(*, tvs: int, capacity: int, minutes: int = WATCHED_MINUTES) -> Herd:
    """Have a shard's database be away for an hour; its processes stay."""
    herd = Herd(tvs=tvs, capacity=capacity)
    herd.know_their_capacity()
    herd.spread_over(herd.pace)
    herd.live(OUTAGE_MINUTES, is_away=True)
    herd.minutes.clear()
    herd.live(minutes)
    return herd


def all_at_once(*, tvs: int, capacity: int, minutes: int = WATCHED_MINUTES) -> Herd:
    """Have all TVs call within a second, and processes that have just begun."""
    herd = Herd(tvs=tvs, capacity=capacity)
    herd.spread_over(1)
    herd.live(minutes)
    return herd


def measured(
    *, tvs: int, capacity: int, minutes: int = WATCHED_MINUTES
) -> dict[str, Any]:
    """Measure both: the most arrivals of a minute by capacity, the first left out.

    Keys: ``herd_arrivals`` and ``herd_arrivals_at_once`` (limit: 1.2),
    ``herd_minutes`` and ``herd_minutes_at_once``, all minutes by capacity.
    """
    outage = after_an_outage(tvs=tvs, capacity=capacity, minutes=minutes)
    at_once = all_at_once(tvs=tvs, capacity=capacity, minutes=minutes)
    return {
        "herd_tvs": tvs,
        "herd_capacity": capacity,
        "herd_arrivals": max(outage.by_capacity[1:]),
        "herd_arrivals_at_once": max(at_once.by_capacity[1:]),
        "herd_minutes": outage.by_capacity,
        "herd_minutes_at_once": at_once.by_capacity,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tvs", type=int, default=4_000_000)
    parser.add_argument("--capacity", type=int, default=1_400, help="Syncs a second.")
    parser.add_argument("--minutes", type=int, default=WATCHED_MINUTES)
    options = parser.parse_args()
    print(json.dumps(measured(**vars(options)), indent=1))


if __name__ == "__main__":
    main()

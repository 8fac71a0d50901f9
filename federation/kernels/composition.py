"""Which shards stand behind a region's history, and which behind this round's rates.

A shard that doesn't report takes its tastes along. What that alone can do to a rate is
bounded by how many of the region's TVs it has; nothing within the bounds is a trend.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

# Rounds that were missed weigh less with each that follows; below this, nothing.
_FORGOTTEN_ROUNDS = 1e-3

# A shard that isn't installed any more is forgotten once it has this share of the TVs.
_FORGOTTEN_SHARE = 1e-3


@dataclass(frozen=True)
class ShardHistory:
    """What a region's history holds of one shard; older rounds count less."""

    #: The shard's TVs that reported.
    effective_reporters: float
    #: Rounds that did without it though it was installed.
    missed_rounds: float
    #: Whether the last one did.
    is_away: bool


#: By region and shard.
ShardHistories = Mapping[tuple[str, int], ShardHistory]


class Composition:
    """The shards behind one region, usually and in this round.

    Parameters
    ----------
    past : mapping of int to ShardHistory
        By shard, as the last round left it.
    reporters : mapping of int to int
        The region's reporting TVs by shard, of the shards that count in this round.
    absent : collection of int
        Installed shards that don't count.
    rounds : float
        Effective rounds of the region's history.

    Notes
    -----
    Let w be the shards' shares in the history, p those that the shards which count now
    would have had in a full round, and x the unknown share of each shard's TVs that
    name an item. Then the usual rate is ``sum w x`` and the rate to expect ``sum p x``,
    with x between 0 and 1: its bounds are those of a fractional knapsack, filled in
    the order of p / w. As long as no shard missed a round, p is w, and the bounds are
    the usual rate itself: how TVs are spread over shards then has no say. A shard that
    is new is no change of composition but new TVs, wherever they are put.
    """

    def __init__(
        self,
        past: Mapping[int, ShardHistory],
        reporters: Mapping[int, int],
        absent: Collection[int],
        *,
        rounds: float,
    ) -> None:
        self._past = past
        self._reporters = reporters
        self._absent = {*absent, *(past.keys() - reporters.keys())}
        self._shares = [] if self._is_whole() else list(self._both_shares(rounds))

    def highest(self, usual_rate: float) -> float:
        """The most that a steady item's rate can be now.

        Parameters
        ----------
        usual_rate : float
            0 to 1.

        Returns
        -------
        float
            0 to 1.
        """
        if not self._shares:
            return usual_rate
        left, reached = usual_rate, 0.0
        for usual, now in self._shares:
            taken = min(usual, left)
            reached += now * (taken / usual if usual else 1.0)
            left -= taken
        return min(reached, 1.0)

    def lowest(self, usual_rate: float) -> float:
        """The least that a steady item's rate can be now.

        Parameters
        ----------
        usual_rate : float
            0 to 1.

        Returns
        -------
        float
            0 to 1.
        """
        if not self._shares:
            return usual_rate
        return max(0.0, 1.0 - self.highest(1.0 - usual_rate))

    def next_history(self, decay: float) -> dict[int, ShardHistory]:
        """What the next round has to know.

        Parameters
        ----------
        decay : float
            Weight of a round one round later.

        Returns
        -------
        dict of int to ShardHistory
            By shard.
        """
        moved: dict[int, ShardHistory] = {}
        for shard in sorted({*self._past, *self._reporters, *self._absent}):
            is_away = shard in self._absent
            before = self._past.get(shard, ShardHistory(0.0, 0.0, False))
            missed = decay * before.missed_rounds + is_away
            reporters = decay * before.effective_reporters
            moved[shard] = ShardHistory(
                effective_reporters=reporters + self._reporters.get(shard, 0),
                missed_rounds=missed if missed >= _FORGOTTEN_ROUNDS else 0.0,
                is_away=is_away,
            )
        return moved

    def _is_whole(self) -> bool:
        missing = any(
            self._past[shard].effective_reporters > 0
            for shard in self._absent & self._past.keys()
        )
        return not missing and not any(
            self._past[shard].missed_rounds
            for shard in self._reporters.keys() & self._past.keys()
        )

    def _both_shares(self, rounds: float) -> Iterable[tuple[float, float]]:
        """Each shard's share usually and now, those that gained most first."""
        usual = {shard: each.effective_reporters for shard, each in self._past.items()}
        now = {shard: self._in_a_full_round(shard, rounds) for shard in self._reporters}
        all_usual, all_now = sum(usual.values()), sum(now.values())
        if not all_usual or not all_now:
            return [(0.0, 1.0)]  # none of the TVs that report was ever heard
        shares = [
            (usual.get(shard, 0.0) / all_usual, now.get(shard, 0.0) / all_now)
            for shard in sorted({*usual, *now})
        ]
        return sorted(
            shares, key=lambda both: both[1] / both[0] if both[0] else float("inf")
        )[::-1]

    def _in_a_full_round(self, shard: int, rounds: float) -> float:
        """The weight of a shard had it missed no round."""
        past = self._past.get(shard)
        if past is None:
            return 0.0
        if not past.effective_reporters:
            return self._reporters[shard] * rounds if past.missed_rounds else 0.0
        taken_part = max(rounds - past.missed_rounds, _FORGOTTEN_ROUNDS)
        return past.effective_reporters * rounds / taken_part


def without_removed(
    histories: Mapping[int, ShardHistory], *, installed: Collection[int]
) -> dict[int, ShardHistory]:
    """Forget shards that are gone for good once they hardly count.

    Parameters
    ----------
    histories : mapping of int to ShardHistory
        By shard.
    installed : collection of int
        Shards that exist, whether they reported or not.

    Returns
    -------
    dict of int to ShardHistory
        The others. What is absent for long but may come back is remembered.
    """
    total = sum(each.effective_reporters for each in histories.values())
    return {
        shard: each
        for shard, each in histories.items()
        if shard in installed or each.effective_reporters > _FORGOTTEN_SHARE * total
    }

"""What a delta asks of the rows that a TV has stored.

Most of it is known without them: an addition replaces what is there, and what is said
of it afterwards in the same delta changes what is added. What is left depends on a row
only if it exists, and on nothing else; ``patterns/services/store.py`` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from patterns.delta import Delta

#: What the column holds. A TV gets there after 4 billion updates.
SAMPLE_COUNT_MAX = 2**63 - 1


class Wish(IntEnum):
    """What becomes of one id. The numbers are read by the statement in the store."""

    #: A whole row, whether or not there is one.
    STORE = 0
    #: No row, and nobody is told: an addition below the threshold replaces as well.
    DROP = 1
    #: If there is a row, average it; filter it if that is below the threshold.
    UPDATE = 2
    #: The same, and then remove what is left.
    UPDATE_AND_REMOVE = 3
    #: If there is a row, remove it.
    REMOVE = 4


@dataclass(slots=True, eq=False)
class Reckoning:
    """Entry i of each column is of one id; no id has two."""

    ids: Sequence[bytes]
    wishes: bytes
    #: Of updates, else of no meaning.
    rates: Sequence[float]
    samples: Sequence[int]

    # Rows of the delta's additions that are stored, with rates and sample counts as
    # they are after its updates.
    rows: Sequence[int]
    row_rates: Sequence[float]
    row_samples: Sequence[int]

    # What is told of additions, and of what was said of them.
    stored: int
    filtered: int = 0
    updated: int = 0
    removed: int = 0


def reckon(delta: Delta, *, quality_threshold: float) -> Reckoning:
    """Work out what to ask for: additions come first, then updates, then removals.

    Afterwards none of the touched patterns is below the threshold.
    """
    added, updated, removed = delta.added, delta.updated, delta.removed
    ids = [*added.ids, *updated.ids, *removed]
    is_good = not added or min(added.success_rates) >= quality_threshold
    if is_good and len(set(ids)) == len(ids):
        return _plain(delta, ids)
    return _Tangle(delta, quality_threshold).reckoning()


def _plain(delta: Delta, ids: Sequence[bytes]) -> Reckoning:
    """Reckon without looking at each id: none is named twice, all are good enough."""
    added, updated, removed = delta.added, delta.updated, delta.removed
    before, after = len(added), len(removed)
    return Reckoning(
        ids=ids,
        wishes=b"".join(
            (
                _STORE * before,
                _UPDATE * len(updated),
                _REMOVE * after,
            )
        ),
        rates=[*[0.0] * before, *updated.new_success_rates, *[0.0] * after],
        samples=[*[0] * before, *updated.additional_samples, *[0] * after],
        rows=range(before),
        row_rates=added.success_rates,
        row_samples=added.sample_counts,
        stored=before,
    )


_STORE, _UPDATE, _REMOVE = (
    bytes([wish]) for wish in (Wish.STORE, Wish.UPDATE, Wish.REMOVE)
)


class _Tangle:
    """A delta that says several things of one id, or adds what is too bad."""

    def __init__(self, delta: Delta, threshold: float) -> None:
        self._delta = delta
        self._threshold = threshold
        self._wishes: dict[bytes, Wish] = {}
        #: Of each id that is to be stored: its row of the additions, rate, samples.
        self._stored: dict[bytes, tuple[int, float, int]] = {}
        self._updates: dict[bytes, tuple[float, int]] = {}
        self._n_stored = self._n_filtered = self._n_updated = self._n_removed = 0

    def reckoning(self) -> Reckoning:
        added, updated = self._delta.added, self._delta.updated
        for row, added_id in enumerate(added.ids):
            self._add(added_id, row)
        for updated_id, rate, samples in zip(
            updated.ids,
            updated.new_success_rates,
            updated.additional_samples,
            strict=True,
        ):
            self._update(updated_id, rate, samples)
        for removed_id in self._delta.removed:
            self._remove(removed_id)
        updates = [self._updates.get(each, (0.0, 0)) for each in self._wishes]
        rows = list(self._stored.values())
        return Reckoning(
            ids=list(self._wishes),
            wishes=bytes(self._wishes.values()),
            rates=[rate for rate, _ in updates],
            samples=[samples for _, samples in updates],
            rows=[row for row, _, _ in rows],
            row_rates=[rate for _, rate, _ in rows],
            row_samples=[samples for _, _, samples in rows],
            stored=self._n_stored,
            filtered=self._n_filtered,
            updated=self._n_updated,
            removed=self._n_removed,
        )

    def _add(self, pattern_id: bytes, row: int) -> None:
        added = self._delta.added
        rate = added.success_rates[row]
        if rate < self._threshold:
            self._wishes[pattern_id] = Wish.DROP
            self._n_filtered += 1
            return
        self._wishes[pattern_id] = Wish.STORE
        self._stored[pattern_id] = row, rate, added.sample_counts[row]
        self._n_stored += 1

    def _update(self, pattern_id: bytes, new_rate: float, more: int) -> None:
        wish = self._wishes.get(pattern_id)
        if wish is None:
            self._wishes[pattern_id] = Wish.UPDATE
            self._updates[pattern_id] = new_rate, more
        elif wish is Wish.STORE:
            row, old_rate, samples = self._stored[pattern_id]
            rate, samples = averaged(old_rate, samples, new_rate, more)
            if rate < self._threshold:
                self._drop(pattern_id)
                self._n_filtered += 1
                return
            self._stored[pattern_id] = row, rate, samples
            self._n_updated += 1

    def _remove(self, pattern_id: bytes) -> None:
        wish = self._wishes.get(pattern_id)
        if wish is None:
            self._wishes[pattern_id] = Wish.REMOVE
        elif wish is Wish.UPDATE:
            self._wishes[pattern_id] = Wish.UPDATE_AND_REMOVE
        elif wish is Wish.STORE:
            self._drop(pattern_id)
            self._n_removed += 1

    def _drop(self, pattern_id: bytes) -> None:
        self._wishes[pattern_id] = Wish.DROP
        del self._stored[pattern_id]


def averaged(
    rate: float, samples: int, new_rate: float, more: int
) -> tuple[float, int]:
    """Rate and count after an update: ``(rate·n + new·k) / (n + k)`` and ``n + k``.

    Written as a step from the old rate, so that an update which says the same rate
    again leaves it where it is: rounding must not carry it below the threshold. The
    statement in the store takes the same steps.
    """
    step = (new_rate - rate) * (more / (samples + more))
    lowest, highest = min(rate, new_rate), max(rate, new_rate)
    return min(max(rate + step, lowest), highest), min(samples + more, SAMPLE_COUNT_MAX)

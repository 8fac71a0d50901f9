"""Readings of shards, added up one by one as they come, in any order."""

from __future__ import annotations

from dataclasses import fields

from federation.collect import FirstReading, SecondReading
from federation.kernels import PairCounts, merge_censuses, merge_samples
from federation.kernels.sparse import CountsMerger
from federation.kernels.sums import SumsMerger


class FirstTotal:
    """What all shards gave at the first reading."""

    def __init__(self) -> None:
        self._total: FirstReading | None = None

    def add(self, reading: FirstReading) -> None:
        total = self._total
        self._total = reading if total is None else _sum_of(total, reading)

    def total(self) -> FirstReading | None:
        """Give the sum; None if there was no reading."""
        return self._total


class SecondTotal:
    """What all shards gave at the second reading.

    Adding one costs what is in it: what was added before isn't gone through again.
    """

    def __init__(self) -> None:
        self._sums = SumsMerger()
        self._pairs = {field.name: CountsMerger() for field in fields(PairCounts)}
        self._is_empty = True

    def add(self, reading: SecondReading) -> None:
        self._is_empty = False
        self._sums.add(reading.sums)
        for name, merger in self._pairs.items():
            merger.add(getattr(reading.pairs, name))

    def total(self) -> SecondReading | None:
        """Give the sum, once; None if there was no reading."""
        if self._is_empty:
            return None
        pairs = {name: merger.counts() for name, merger in self._pairs.items()}
        return SecondReading(sums=self._sums.sums(), pairs=PairCounts(**pairs))


def _sum_of(one: FirstReading, other: FirstReading) -> FirstReading:
    return FirstReading(
        sample=merge_samples([one.sample, other.sample]),
        census=merge_censuses([one.census, other.census]),
        stored_device_count=one.stored_device_count + other.stored_device_count,
        stored_pattern_count=one.stored_pattern_count + other.stored_pattern_count,
    )

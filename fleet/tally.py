"""What happened to a fleet, counted from many threads at once."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence

import numpy as np

from fleet.client import SyncResult
from fleet.errors import FleetError

#: A fleet that runs for ever keeps the sizes of its latest syncs only.
SIZES_REMEMBERED = 200_000


class Tally:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes_up: deque[int] = deque(maxlen=SIZES_REMEMBERED)
        self._bytes_down: deque[int] = deque(maxlen=SIZES_REMEMBERED)
        self.sync_count = 0
        self.errors: Counter[str] = Counter()
        #: One message for each kind of error, for whoever has to find out why.
        self.examples: dict[str, str] = {}

    def confirmed(self, result: SyncResult) -> None:
        with self._lock:
            self.sync_count += 1
            self._bytes_up.append(result.bytes_up)
            self._bytes_down.append(result.bytes_down)

    def failed(self, error: FleetError) -> None:
        with self._lock:
            self.errors[error.code] += 1
            self.examples.setdefault(error.code, str(error))

    @property
    def error_count(self) -> int:
        return self.errors.total()

    def bytes_up(self, percent: float) -> int:
        return self._percentile(self._bytes_up, percent)

    def bytes_down(self, percent: float) -> int:
        return self._percentile(self._bytes_down, percent)

    def _percentile(self, sizes: Iterable[int], percent: float) -> int:
        # A TV that a stop left behind may still be counting.
        with self._lock:
            values = list(sizes)
        return _percentile(values, percent)


def _percentile(values: Sequence[int], percent: float) -> int:
    """Return the smallest that so many percent don't exceed; 0 for none."""
    if not values:
        return 0
    return int(np.percentile(values, percent, method="inverted_cdf"))

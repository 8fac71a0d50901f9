"""What Prometheus is told about syncs.

With ``PROMETHEUS_MULTIPROC_DIR`` set, every worker process keeps its counters in that
directory and ``manage.py observe`` adds them up. Never a label per TV.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

from sync.exceptions import Overloaded

#: Of syncs whose token didn't say where they belong.
NO_SHARD = "none"

#: Seconds; the budget is tens of milliseconds, trouble is a second.
LATENCY_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)

SYNC_REQUESTS = Counter(
    "constellation_sync_requests",
    "Syncs answered, by shard and by outcome: ok, retry, or the code of the error.",
    ["shard_id", "status"],
)
SYNC_LATENCY = Histogram(
    "constellation_sync_latency_seconds",
    "Time from a sync's arrival to its answer.",
    ["shard_id"],
    buckets=LATENCY_BUCKETS,
)
RECEIVED_BYTES = Counter(
    "constellation_sync_received_bytes",
    "Bodies of syncs as they came over the wire.",
    ["shard_id"],
)
SENT_BYTES = Counter(
    "constellation_sync_sent_bytes",
    "Bodies of answers as they went over the wire.",
    ["shard_id"],
)


class _OfShard:
    """The numbers of one shard, found once: finding them costs as much as counting."""

    def __init__(self, shard_id: int | None) -> None:
        # Without a shard if a token didn't hold.
        self._label = NO_SHARD if shard_id is None else str(shard_id)
        self._requests: dict[str, Counter] = {}
        self.latency = SYNC_LATENCY.labels(self._label)
        self.received_bytes = RECEIVED_BYTES.labels(self._label)
        self.sent_bytes = SENT_BYTES.labels(self._label)

    def requests(self, status: str) -> Counter:
        found = self._requests.get(status)
        if found is None:
            found = self._requests[status] = SYNC_REQUESTS.labels(self._label, status)
        return found


_of_shard = cache(_OfShard)


def record_sent_away(count: int = 1) -> None:
    """Count syncs for which there was no place; nothing of them was read."""
    _of_shard(None).requests(Overloaded.code).inc(count)


def record_sync(
    *,
    shard_id: int | None,
    status: str,
    seconds: float,
    received_bytes: int,
    sent_bytes: int,
) -> None:
    """Count one answered sync; without a shard if its token didn't hold."""
    shard = _of_shard(shard_id)
    shard.requests(status).inc()
    shard.latency.observe(seconds)
    shard.received_bytes.inc(received_bytes)
    shard.sent_bytes.inc(sent_bytes)

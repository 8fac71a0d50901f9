"""What Prometheus is told about syncs.

With ``PROMETHEUS_MULTIPROC_DIR`` set, every worker process keeps its counters in that
directory and ``manage.py observe`` adds them up. Never a label per TV.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

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


def record_sync(
    *,
    shard_id: int | None,
    status: str,
    seconds: float,
    received_bytes: int,
    sent_bytes: int,
) -> None:
    """Count one answered sync; without a shard if its token didn't hold."""
    label = NO_SHARD if shard_id is None else str(shard_id)
    SYNC_REQUESTS.labels(label, status).inc()
    SYNC_LATENCY.labels(label).observe(seconds)
    RECEIVED_BYTES.labels(label).inc(received_bytes)
    SENT_BYTES.labels(label).inc(sent_bytes)

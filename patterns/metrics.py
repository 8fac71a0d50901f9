"""What Prometheus is told about the store.

With ``PROMETHEUS_MULTIPROC_DIR`` set, every worker process keeps its own and
``manage.py observe`` adds them up.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

BATCH_SYNCS = Histogram(
    "constellation_sync_batch_size",
    "Syncs that were committed together.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
FAILED_BATCHES = Counter(
    "constellation_sync_failed_batches",
    "Batches whose syncs were tried again, each alone.",
)

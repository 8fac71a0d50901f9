"""What Prometheus is told about the store.

With ``PROMETHEUS_MULTIPROC_DIR`` set, every worker process keeps its own and
``manage.py observe`` adds them up.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

GROUP_SIZE = Histogram(
    "constellation_group_commit_size",
    "Syncs that were committed together.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
FAILED_GROUPS = Counter(
    "constellation_group_commit_failures",
    "Groups whose syncs were tried again, each alone.",
)

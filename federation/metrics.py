"""What Prometheus is told of rounds, in one process or several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from federation.models import FederationRound
from federation.report import DRY_RUN, RoundReport

_ROUNDS = Counter(
    "constellation_federation_rounds_total", "Federation rounds by outcome.", ["status"]
)
_DURATION_SECONDS = Histogram(
    "constellation_federation_duration_seconds",
    "How long a federation round took.",
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600),
)
_PATTERNS = Gauge(
    "constellation_federation_patterns_aggregated",
    "Global patterns of the last published round.",
    multiprocess_mode="mostrecent",
)
_TRENDS = Gauge(
    "constellation_federation_trends_detected",
    "Trends of the last published round.",
    multiprocess_mode="mostrecent",
)
# A point in time, not an age: an age would stand still between rounds.
_PUBLISHED_AT = Gauge(
    "constellation_federation_last_published_timestamp_seconds",
    "When a round last published, in seconds since 1970.",
    multiprocess_mode="mostrecent",
)

for _status in ("published", "partial", "abandoned"):
    _ROUNDS.labels(_status)  # so that a rate is there before the first of its kind


def record(report: RoundReport) -> None:
    if report.status == DRY_RUN:
        return
    _ROUNDS.labels(report.status).inc()
    _DURATION_SECONDS.observe(report.seconds)
    if report.is_published:
        _PATTERNS.set(report.pattern_count)
        _TRENDS.set(report.trend_count)
        _PUBLISHED_AT.set_to_current_time()


@contextmanager
def counting_breakdowns(told: FederationRound) -> Iterator[None]:
    """Count a round that ends by an exception as well, by what came of it.

    One that is still open goes on elsewhere: whoever ends it counts it.
    """
    begun = time.monotonic()
    try:
        yield
    except BaseException:
        if told.status not in (DRY_RUN, FederationRound.Status.RUNNING):
            _ROUNDS.labels(told.status).inc()
            _DURATION_SECONDS.observe(time.monotonic() - begun)
        raise


@contextmanager
def serving(address: str) -> Iterator[None]:
    """Serve this process's metrics at ``host:port`` while the block runs."""
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), addr=host or "0.0.0.0")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Gauges of every shard, as ``manage.py observe`` saw it last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shards.observation import Sightings
from shards.statistics import ShardStatistics

#: Metric, what it says, and where it is found. One that doesn't answer has none.
_OF_A_SHARD = (
    ("active_devices", "TVs that synced within 15 minutes.", "active_devices"),
    ("total_devices", "TVs enrolled.", "total_devices"),
    ("patterns_stored_total", "Patterns stored.", "patterns_stored"),
)


class FleetMetrics(Collector):
    """Keeps the last sightings, and tells them when Prometheus asks."""

    def __init__(self) -> None:
        self._sightings: Sightings = {}
        self._published_at: datetime | None = None

    def saw(self, sightings: Sightings) -> None:
        self._sightings = sightings

    def published(self, published_at: datetime | None) -> None:
        self._published_at = published_at

    def collect(self) -> Iterator[Metric]:
        sightings = self._sightings
        yield _health(sightings)
        for name, documentation, attribute in _OF_A_SHARD:
            yield _of_shards(name, documentation, attribute, sightings)
        if self._published_at is not None:
            yield GaugeMetricFamily(
                "constellation_publication_age_seconds",
                "Seconds since the last round was published.",
                value=(timezone.now() - self._published_at).total_seconds(),
            )


def _health(sightings: Sightings) -> Metric:
    family = GaugeMetricFamily(
        "constellation_shard_health",
        "1 if the shard's database answers, else 0.",
        labels=["shard_id"],
    )
    for shard_id, seen in sightings.items():
        family.add_metric([str(shard_id)], float(seen is not None))
    return family


def _of_shards(
    name: str, documentation: str, attribute: str, sightings: Sightings
) -> Metric:
    family = GaugeMetricFamily(
        f"constellation_{name}", documentation, labels=["shard_id"]
    )
    answered: dict[int, ShardStatistics] = {
        shard_id: seen for shard_id, seen in sightings.items() if seen is not None
    }
    for shard_id, seen in answered.items():
        family.add_metric([str(shard_id)], getattr(seen, attribute))
    return family

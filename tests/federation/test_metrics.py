"""What Prometheus is told of a round, by one process and by several."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prometheus_client import REGISTRY

from federation import metrics
from federation.report import RoundReport


def a_report(**changes) -> RoundReport:
    facts = {
        "round_id": 1,
        "status": "published",
        "global_version": 1,
        "pattern_count": 12,
        "trend_count": 34,
        "link_count": 5,
        "suppressed_count": 6,
        "suppressed_trend_count": 7,
        "suppressed_link_count": 8,
        "defences": {},
        "checksum": "",
        "shards": (),
        "seconds": 2.5,
        "problem": "",
    }
    return RoundReport(**{**facts, **changes})


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"constellation_federation_{name}", labels) or 0.0


@pytest.mark.parametrize("status", ["published", "partial", "abandoned"])
def test_rounds_are_counted_by_outcome(status):
    before = value("rounds_total", status=status)

    metrics.record(a_report(status=status))

    assert value("rounds_total", status=status) == before + 1


def test_a_round_tells_how_long_it_took():
    before = value("duration_seconds_sum")

    metrics.record(a_report(seconds=2.5))

    assert value("duration_seconds_sum") == before + 2.5


def test_a_published_round_tells_what_it_found(time_machine):
    time_machine.move_to("2026-01-02T03:04:05Z", tick=False)

    metrics.record(a_report(pattern_count=7, trend_count=8))

    assert value("patterns_aggregated") == 7
    assert value("trends_detected") == 8
    assert value("last_published_timestamp_seconds") == 1767323045


def test_an_abandoned_round_changes_nothing_that_was_found():
    metrics.record(a_report(pattern_count=7))

    metrics.record(a_report(status="abandoned", pattern_count=0))

    assert value("patterns_aggregated") == 7


def test_a_dry_run_is_not_counted():
    before = value("duration_seconds_count")

    metrics.record(a_report(status="dry_run"))

    assert value("duration_seconds_count") == before


def test_two_processes_add_up_and_the_latest_finding_counts(tmp_path):
    """As under ``up``, where the console may run a round beside the schedule."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for pattern_count in (3, 4):
        in_another_process(
            "import django; django.setup();"
            "from federation import metrics;"
            "from tests.federation.test_metrics import a_report;"
            f"metrics.record(a_report(pattern_count={pattern_count}))",
            environ,
        )

    page = in_another_process(
        "from prometheus_client import CollectorRegistry, generate_latest;"
        "from prometheus_client.multiprocess import MultiProcessCollector;"
        "registry = CollectorRegistry(); MultiProcessCollector(registry);"
        "print(generate_latest(registry).decode())",
        environ,
    )

    assert 'constellation_federation_rounds_total{status="published"} 2.0' in page
    assert "constellation_federation_patterns_aggregated 4.0" in page


def in_another_process(code: str, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout

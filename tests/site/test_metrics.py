"""Metrics as Prometheus scrapes them: of several processes, and of every shard."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from constellation_site import metrics_server
from constellation_site.fleet_metrics import FleetMetrics
from constellation_site.management.commands.observe import observe_once
from federation.models import Publication
from shards import statistics
from shards.models import Shard
from shards.observation import Visitor
from shards.statistics import ShardStatistics
from sync import metrics

BASE_DIR = Path(__file__).resolve().parents[2]

#: Counts some syncs, says so, and lives on until its input ends, as a worker does.
WRITER = """
import sys
from sync import metrics

for _ in range(int(sys.argv[1])):
    metrics.record_sync(
        shard_id=3, status="ok", seconds=0.004, received_bytes=10, sent_bytes=100
    )
metrics.record_sync(
    shard_id=None, status="token_invalid", seconds=0, received_bytes=0, sent_bytes=7
)
print("written", flush=True)
sys.stdin.read()
"""

THREE_PATTERNS = ShardStatistics(
    total_devices=1,
    active_devices=1,
    patterns_stored=3,
    sync_requests_per_min=0.0,
    avg_sync_latency_ms=0.0,
)

Samples = dict[tuple[str, tuple[str, ...]], float]


def scrape(port: int) -> Samples:
    """Read every sample, by name and values of its labels in their names' order."""
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def two_writers(tmp_path, monkeypatch):
    """Two workers that have counted 5 and 7 syncs and are still running."""
    monkeypatch.setenv(metrics_server.MULTIPROCESS_DIRECTORY, str(tmp_path))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(count)],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for count in (5, 7)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "written\n"
        yield writers
    finally:
        for writer in writers:
            writer.communicate()


def test_workers_are_added_up(two_writers):
    with metrics_server.serving("127.0.0.1:0", metrics_server.registry()) as port:
        samples = scrape(port)

    assert samples["constellation_sync_requests_total", ("3", "ok")] == 12
    assert samples["constellation_sync_requests_total", ("none", "token_invalid")] == 2
    assert samples["constellation_sync_latency_seconds_count", ("3",)] == 12
    assert samples["constellation_sync_latency_seconds_bucket", ("0.005", "3")] == 12
    assert samples["constellation_sync_latency_seconds_bucket", ("0.0025", "3")] == 0
    assert samples["constellation_sync_received_bytes_total", ("3",)] == 120
    assert samples["constellation_sync_sent_bytes_total", ("3",)] == 1_200


def test_a_worker_that_ends_takes_nothing_away(two_writers):
    two_writers[0].communicate()

    with metrics_server.serving("127.0.0.1:0", metrics_server.registry()) as port:
        samples = scrape(port)

    assert two_writers[0].returncode == 0
    assert samples["constellation_sync_requests_total", ("3", "ok")] == 12


def test_one_process_alone_needs_no_directory(monkeypatch):
    monkeypatch.delenv(metrics_server.MULTIPROCESS_DIRECTORY, raising=False)
    count = ("constellation_sync_requests_total", ("998", "retry"))

    with metrics_server.serving("127.0.0.1:0", metrics_server.registry()) as port:
        before = scrape(port).get(count, 0)
        metrics.record_sync(
            shard_id=998, status="retry", seconds=0, received_bytes=0, sent_bytes=0
        )
        after = scrape(port)[count]

    assert after == before + 1


def test_every_shard_has_its_gauges():
    fleet = FleetMetrics()
    fleet.saw(
        {
            0: ShardStatistics(
                total_devices=9,
                active_devices=4,
                patterns_stored=50,
                sync_requests_per_min=0.0,
                avg_sync_latency_ms=0.0,
            ),
            2: None,
        }
    )
    fleet.published(timezone.now() - timedelta(minutes=2))

    with metrics_server.serving("127.0.0.1:0", metrics_server.registry(fleet)) as port:
        samples = scrape(port)

    gauges = {key: value for key, value in samples.items() if "sync" not in key[0]}
    age = gauges.pop(("constellation_publication_age_seconds", ()))
    assert 120 <= age < 180
    assert (
        gauges.items()
        >= {
            ("constellation_shard_health", ("0",)): 1,
            ("constellation_shard_health", ("2",)): 0,
            ("constellation_active_devices", ("0",)): 4,
            ("constellation_total_devices", ("0",)): 9,
            ("constellation_patterns_stored_total", ("0",)): 50,
        }.items()
    )
    assert ("constellation_active_devices", ("2",)) not in gauges


def test_prometheus_may_ask_for_openmetrics():
    """It does, by default; and that format has rules of its own for names."""
    fleet = FleetMetrics()
    fleet.saw({0: THREE_PATTERNS})
    with metrics_server.serving("127.0.0.1:0", metrics_server.registry(fleet)) as port:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics",
            headers={"Accept": "application/openmetrics-text; version=1.0.0"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert 'constellation_patterns_stored_total{shard_id="0"} 3' in text
    assert text.endswith("# EOF\n")


def test_strangers_name_no_label(client):
    client.generic("BREW", "/health/live")

    assert "BREW" not in {
        value
        for family in REGISTRY.collect()
        for sample in family.samples
        for value in sample.labels.values()
    }


def test_before_the_first_round_there_is_no_age():
    with metrics_server.serving(
        "127.0.0.1:0", metrics_server.registry(FleetMetrics())
    ) as port:
        assert ("constellation_publication_age_seconds", ()) not in scrape(port)


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestObserver:
    def test_tells_the_console_and_prometheus(self, vega, deneb):
        statistics.record_devices(shard_alias=vega.alias, delta=2)
        Publication.objects.create(
            version=1,
            is_current=True,
            round_id=1,
            checksum="",
            pattern_count=0,
            trend_count=0,
            link_count=0,
            published_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
        fleet = FleetMetrics()

        observe_once(Visitor(), fleet, every=timedelta(minutes=1))

        told = {
            (sample.name, sample.labels.get("shard_id")): sample.value
            for family in fleet.collect()
            for sample in family.samples
        }
        assert told["constellation_total_devices", "0"] == 2
        assert told["constellation_shard_health", "2"] == 0
        assert ("constellation_publication_age_seconds", None) in told
        assert Shard.objects.get(name="vega").is_reachable
        assert not Shard.objects.get(name="deneb").is_reachable

    def test_goes_on_without_the_control_database(self, vega, monkeypatch):
        def is_down(*_: object, **__: object) -> None:
            raise OperationalError

        monkeypatch.setattr("shards.observation.record", is_down)
        fleet = FleetMetrics()

        observe_once(Visitor(), fleet, every=timedelta(minutes=1))

        health = next(iter(fleet.collect()))
        assert {s.labels["shard_id"]: s.value for s in health.samples}["0"] == 1

    def test_observes_until_it_is_told_to_stop(self, vega):
        stderr, scraped = StringIO(), Samples()
        before = signal.getsignal(signal.SIGTERM)

        def scrape_then_stop() -> None:
            try:
                scraped.update(_wait_for_gauges(stderr))
            finally:
                # The command's own handler, never the one that ends the suite.
                if signal.getsignal(signal.SIGTERM) is not before:
                    os.kill(os.getpid(), signal.SIGTERM)

        operator = threading.Thread(target=scrape_then_stop)
        operator.start()
        try:
            call_command(
                *("observe", "--every", "0.2", "--metrics-addr", "127.0.0.1:0"),
                stderr=stderr,
            )
        finally:
            operator.join()

        assert scraped["constellation_shard_health", ("0",)] == 1


def test_says_which_port_is_taken_and_how_to_move_it():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"

        with pytest.raises(CommandError) as caught:
            call_command("observe", "--metrics-addr", address, stderr=StringIO())

    assert f"{address}: Address already in use" in str(caught.value)
    assert "--metrics-addr" in str(caught.value)


def _wait_for_gauges(stderr: StringIO) -> Samples:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        said = re.search(r"Metrics on port (\d+)", stderr.getvalue())
        samples = scrape(int(said[1])) if said else Samples()
        if ("constellation_shard_health", ("0",)) in samples:
            return samples
        time.sleep(0.05)
    raise TimeoutError("The observer showed no shard.")

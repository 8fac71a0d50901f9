"""The benchmark of federation runs on a shard of its own and says what was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.federation import report

BASE_DIR = Path(__file__).resolve().parent.parent.parent

SIZE = {
    "patterns": 1_000,
    "collect_vs_copy": 0.8,
    "whole_vs_copy": 0.2,
    "collect_seconds": 2.0,
    "copy_seconds": 1.6,
    "whole_seconds": 8.0,
    "peak_rss_mib": 300.0,
}
LARGER = {name: 2 * value for name, value in SIZE.items()} | {
    "collect_vs_copy": 0.75,
    "peak_rss_mib": 330.0,
}
ASSIGNMENT = {"assign_vs_sgemm": 0.7}
MERGING = {"merge_100_seconds": 5.0, "merge_is_exact": True}


@pytest.mark.slow
def test_it_measures_a_shard_of_its_own():
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CONSTELLATION_HOME", "POSTGRES_URL")
    }

    process = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.federation"),
            *("--quick", "--json", "--patterns", "1200"),
        ],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        check=False,
    )

    # A busy machine may miss limits of speed, and a shard this small misses them all.
    assert process.returncode in (0, 1), process.stderr.decode()
    found = json.loads(process.stdout)
    assert found["sizes"][0]["patterns"] == 1_200
    assert found["merge_shards"] == 100
    assert found["merge_is_exact"]
    for name in (
        *("collect_vs_copy", "assign_vs_sgemm", "merge_100_seconds"),
        *("peak_rss_mib", "growth"),
    ):
        assert name in found


def test_the_worst_size_counts():
    found = report.whole([SIZE, LARGER], ASSIGNMENT, MERGING)

    assert found["collect_vs_copy"] == 0.75
    assert found["peak_rss_mib"] == 330.0
    assert found["growth"]["collect_seconds"] == 2.0
    assert found["growth"]["peak_rss"] == 1.1
    assert found["limits_missed"] == []


def test_missed_limits_are_named():
    slow = {**SIZE, "collect_vs_copy": 0.69}
    large = {**LARGER, "peak_rss_mib": 600.0}
    merging = {"merge_100_seconds": 10.1, "merge_is_exact": False}

    found = report.whole([slow, large], {"assign_vs_sgemm": 0.59}, merging)

    assert found["limits_missed"] == [
        "collect_vs_copy",
        "assign_vs_sgemm",
        "merge_100_seconds",
        "growth_of_memory",
        "merge_is_exact",
    ]

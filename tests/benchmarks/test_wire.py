"""The benchmark of the wire with few TVs: that it measures, not what it finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from benchmarks.wire.households import synthetic
from benchmarks.wire.measuring import measure
from benchmarks.wire.report import FIGURES, of_fleets
from fleet.synthetic import Plan
from tests.running import runs, wait_for

pytestmark = pytest.mark.slow

FEW = Plan(seed=5, households=60, clusters=12, contents_per_cluster=8)


@pytest.fixture(scope="module")
def figures():
    return measure(synthetic(FEW, rounds=4), televisions=4, say=print)


def test_every_figure_is_measured_but_lift(figures):
    whole = of_fleets({"synthetic": figures})

    assert [f.name for f in FIGURES if whole[f.name] is None] == ["lift_kept"]


def test_every_peer_is_measured_but_that_of_lift(figures):
    peers = {name for figure in FIGURES for _, name in figure.peers}

    assert peers - {name for name, value in figures.items() if value is not None} == {
        "noise"
    }


def test_what_is_sent_as_codes_is_smaller_than_anything_else(figures):
    assert figures["up_bytes_p99_10_coded"] < figures["up_bytes_p50_10_json_zstd"] / 10
    assert figures["down_bytes_p99"] < figures["down_bytes_p50_json_zstd"] / 5
    assert figures["down_bytes_unchanged_max"] < figures["down_bytes_p50"] / 5


def test_cosines_are_those_of_vectors_that_resemble_each_other(figures):
    for name in ("cosine_down_mean", "cosine_up_mean", "opq_down_mean", "opq_up_mean"):
        assert 0.8 < figures[name] <= 1


def test_ends_all_it_has_started_when_it_is_told_to(tmp_path):
    environment = {n: v for n, v in os.environ.items() if "MOVIELENS" not in n}
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.wire", "--json"],
        cwd=Path(settings.BASE_DIR),
        env=environment | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: "granian" in commands_of(started_by(benchmark)), seconds=300)
        started = [each.pid for each in started_by(benchmark)]

        benchmark.send_signal(signal.SIGTERM)
        output, _ = benchmark.communicate(timeout=300)
    finally:
        benchmark.kill()

    assert (benchmark.returncode, output) == (130, b"")
    assert [pid for pid in started if runs(pid)] == []
    assert list(tmp_path.iterdir()) == []


def started_by(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All of its processes, at any depth."""
    family: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return family


def commands_of(processes: list[psutil.Process]) -> str:
    words = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            words += process.cmdline()
    return " ".join(words)

"""The report of the benchmark of syncs: medians, ratios and limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.sync import figures, report
from benchmarks.sync.generator import OK, SENT_AWAY, Load

TURN = {
    "pgbench": 4_000.0,
    "pgbench_statements": 3_000.0,
    "pgbench_grouped": 20_000.0,
    "null": 5_000.0,
    "naive": 200.0,
    "syncs_per_second": 2_000.0,
    "p50_ms": 20.0,
    "p99_ms": 40.0,
    "wal_bytes": 3_000.0,
    "rss_mib": [200.0, 30.0],
    "cpu_us": {"python": 500.0, "postgresql": 200.0},
}
SLOWER = {**TURN, "pgbench": 2_000.0, "syncs_per_second": 1_800.0, "rss_mib": [150.0]}


def a_load(*, served: int, latency: float) -> Load:
    """A thousand requests in a second; those who aren't served are sent away."""
    statuses = np.full(1_000, SENT_AWAY)
    statuses[:served] = OK
    return Load(
        requests=np.arange(1_000),
        statuses=statuses,
        latencies=np.full(1_000, latency),
        delays=np.zeros(1_000),
        ends=np.full(1_000, 0.5),
        sizes=np.zeros(1_000, dtype=np.int64),
        seconds=1.0,
        offered=1_000,
        cpu_seconds=0.1,
        connections=10,
    )


def test_ratios_are_of_figures_of_the_same_turn():
    found = figures.of_turns([dict(TURN), dict(TURN), dict(SLOWER)])

    # 0.5, 0.5, and 1,800 of 3,000: pgbench counts as it is faster.
    assert found["ratio_pgbench"] == 0.5
    assert found["ratio_naive"] == 10
    assert found["syncs_per_second_limit"] == 4_000
    assert found["ratio_pgbench_limit"] == 1
    assert found["rss_mib_per_process"] == 200
    assert found["cpu_us_per_sync"] == {"python": 500, "postgresql": 200}


def test_overload_is_held_against_full_load_of_the_same_turn():
    full, twice = a_load(served=1_000, latency=0.1), a_load(served=950, latency=0.15)

    found = figures.of_overload([{1: full, 2: twice}])

    assert found["goodput_at_2x"] == 0.95
    assert round(found["accepted_p99_at_2x"], 6) == 1.5
    assert found["at_2x"][0]["answers"] == {OK: 950, SENT_AWAY: 50}


def test_refusals_leave_what_they_don_t_take(monkeypatch):
    """19,000 refusals a second at 10 us, of two cores: a tenth of the machine."""
    monkeypatch.setattr("psutil.cpu_count", lambda: 2)
    load = replace(a_load(served=0, latency=0.1), cpu_seconds=0.006)
    n = len(load.requests)

    found = figures.of_refusals(load, n * 10e-6 - 0.006, 1_900, factors=(2, 11))

    assert round(found["refusal_us_least"], 6) == 10
    assert round(found["goodput_at_11x_most"], 6) == 0.905
    assert round(found["goodput_at_2x_most"], 6) == 0.9905


def test_what_was_not_measured_misses_no_limit():
    whole = report.whole({"ratio_pgbench": 0.5, "ratio_naive": 4.9})

    assert whole["limits_missed"] == ["ratio_naive"]
    assert "growth" in whole["not_measured"]
    assert whole["growth"] is None


def test_costs_must_not_exceed_their_limits():
    whole = report.whole({"p99_ms_at_1111": 100.1, "stats_ms": 50, "growth": 0.8})

    assert whole["limits_missed"] == ["p99_ms_at_1111"]


def test_a_table_has_what_was_measured():
    found = figures.of_turns([dict(TURN)])

    table = report.lines(report.whole(found))

    assert any("0.5" in line and "limit 1.00" in line for line in table)
    assert not any("Flower" in line for line in table)
    assert any("python 500, postgresql 200" in line for line in table)

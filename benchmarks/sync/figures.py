"""Runs as figures: rates, percentiles, ratios and their medians."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psutil

from benchmarks.sync.generator import OK, SENT_AWAY, Load
from benchmarks.sync.meters import Reading

Figures = dict[str, Any]


def of_turns(turns: Sequence[Figures]) -> Figures:
    """Medians; of ratios, those of figures of the same turn."""
    medians: Figures = {
        name: median(turn[name] for turn in turns)
        for name in turns[0]
        if isinstance(turns[0][name], float)
    }
    # Whichever way pgbench is faster.
    for turn in turns:
        turn["best_pgbench"] = max(turn["pgbench"], turn.get("pgbench_statements", 0))
        turn["limit"] = 1 / (1 / turn["pgbench_grouped"] + 1 / turn["null"])
    return {
        "ratio_pgbench": median(
            t["syncs_per_second"] / t["best_pgbench"] for t in turns
        ),
        "ratio_pgbench_limit": median(t["limit"] / t["best_pgbench"] for t in turns),
        "ratio_naive": median(t["syncs_per_second"] / t["naive"] for t in turns),
        "syncs_per_second": medians["syncs_per_second"],
        "syncs_per_second_limit": median(t["limit"] for t in turns),
        "pgbench_per_second": median(t["best_pgbench"] for t in turns),
        "pgbench_grouped_per_second": medians["pgbench_grouped"],
        "null_per_second": medians["null"],
        "naive_per_second": medians["naive"],
        "p50_ms_at_capacity": medians["p50_ms"],
        "p99_ms_at_capacity": medians["p99_ms"],
        "rss_mib_per_process": median(max(t["rss_mib"]) for t in turns),
        "wal_bytes_per_sync": medians["wal_bytes"],
        "cpu_us_per_sync": {
            name: median(t["cpu_us"][name] for t in turns)
            for name in turns[0]["cpu_us"]
        },
        "turns": list(turns),
    }


def of_capacity(load: Load, used: Reading) -> Figures:
    """One run at capacity, and what it used."""
    served = max(1, len(load.served))
    micros = {kind: seconds / served * 1e6 for kind, seconds in used.cpu.items()}
    return {
        "syncs_per_second": load.per_second,
        "p50_ms": load.latency_ms(50),
        "p99_ms": load.latency_ms(99),
        "wal_bytes": used.wal_bytes / served,
        "cpu_us": micros | {"generator": generator_us(load)},
        "answers": load.counts(),
        "answer_bytes": float(load.sizes.mean()),
    }


def of_load(load: Load) -> Figures:
    """One run at a given rate."""
    return {
        "offered_per_second": load.offered / load.seconds,
        "served_per_second": load.per_second,
        "p50_ms": load.latency_ms(50),
        "p99_ms": load.latency_ms(99),
        "sent_away_p99_ms": load.latency_ms(99, SENT_AWAY),
        "delay_p99_ms": load.delay_ms(99),
        "generator_cores": load.cpu_seconds / load.seconds,
        "connections": load.connections,
        "answers": load.counts(),
        "failed": sum(n for s, n in load.counts().items() if s not in (OK, SENT_AWAY)),
    }


def of_overload(turns: Sequence[Mapping[int, Load]]) -> Figures:
    """Runs at multiples of capacity; those of 1 are full load, in a closed loop."""
    found: Figures = {}
    for factor in set(turns[0]) - {1}:
        found |= {
            f"goodput_at_{factor}x": median(
                turn[factor].per_second / turn[1].per_second for turn in turns
            ),
            f"accepted_p99_at_{factor}x": median(
                turn[factor].latency_ms(99) / turn[1].latency_ms(99) for turn in turns
            ),
            f"at_{factor}x": [of_load(turn[factor]) for turn in turns],
        }
    return found


def of_refusals(
    load: Load, server_seconds: float, capacity: float, *, factors: Sequence[int]
) -> Figures:
    """What sending away takes at least, and the goodput that leaves at most.

    The generator's part counts, as it has no machine of its own.
    """
    us = (load.cpu_seconds + server_seconds) / max(1, len(load.requests)) * 1e6
    cores = psutil.cpu_count() or 1
    return {
        "refusal_us_least": us,
        "generator_us_refused": generator_us(load),
        **{
            f"goodput_at_{factor}x_most": 1 - (factor - 1) * capacity * us / 1e6 / cores
            for factor in factors
        },
    }


def generator_us(load: Load) -> float:
    """CPU time of the generator for each request, in microseconds."""
    return load.cpu_seconds / max(1, len(load.requests)) * 1e6


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return float(statistics.median(values))

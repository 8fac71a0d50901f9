"""The figures as one object, and as a table beside their limits."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One that has to keep a limit."""

    name: str
    label: str
    limit: float
    is_cost: bool = False
    #: What stands beside it: words with figures of the report.
    beside: str = ""

    def is_missed(self, value: float | None) -> bool:
        if value is None:
            return False
        exceeds = operator.gt if self.is_cost else operator.lt
        return bool(exceeds(value, self.limit))


FIGURES = (
    Figure(
        name="ratio_pgbench",
        label="syncs/s ÷ pgbench, a transaction a sync",
        limit=0.4,
        beside="{syncs_per_second:,.0f} and {pgbench_per_second:,.0f} a second; limit "
        "{ratio_pgbench_limit:.2f} ({pgbench_grouped_per_second:,.0f} grouped, null "
        "view {null_per_second:,.0f})",
    ),
    Figure(
        name="ratio_naive",
        label="syncs/s ÷ straightforward DRF and ORM",
        limit=5,
        beside="{naive_per_second:,.0f} a second",
    ),
    Figure(
        name="p99_ms_at_1111",
        label="p99 at 1,111 syncs/s offered, ms",
        limit=100,
        is_cost=True,
        beside="p50 {p50_ms_at_1111:.1f}",
    ),
    Figure(name="served_fraction", label="share of that served", limit=1),
    Figure(
        name="similar_p99_ms",
        label="similar, 100 of 4,096: p99, ms",
        limit=1,
        is_cost=True,
        beside="p50 {similar_p50_ms:.2f}",
    ),
    Figure(name="similar_recall", label="its recall against exact", limit=1),
    Figure(
        name="ratio_hnsw",
        label="times faster than pgvector's HNSW",
        limit=8,
        beside="{hnsw_p50_ms:.2f} ms; {ratio_hnsw_one_taste:.1f} for one taste",
    ),
    Figure(
        name="ratio_flower",
        label="updates/s ÷ Flower's SuperLink",
        limit=10,
        beside="{flower_per_second:,.0f} a second; {flower_streams_per_second:,.0f} of "
        "its former server: {ratio_flower_streams:.2f}",
    ),
    Figure(name="growth", label="syncs/s, full shard ÷ small one", limit=0.8),
    Figure(
        name="goodput_at_2x",
        label="goodput at 2 × capacity",
        limit=0.9,
        beside="{goodput_at_2x_most:.2f} at most: {refusal_us_least:.0f} µs a refusal",
    ),
    Figure(
        name="goodput_at_10x",
        label="goodput at 10 × capacity",
        limit=0.9,
        beside="{goodput_at_10x_most:.2f} at most, by a server that only sends away "
        "and its generator ({generator_us_refused:.0f} µs of that)",
    ),
    Figure(
        name="accepted_p99_at_2x",
        label="accepted p99 at 2 ×, of that at full load",
        limit=2,
        is_cost=True,
        beside="{p99_ms_at_capacity:.0f} ms at full load",
    ),
    Figure(
        name="accepted_p99_at_10x",
        label="accepted p99 at 10 ×, of that at full load",
        limit=2,
        is_cost=True,
    ),
    Figure(
        name="herd_arrivals",
        label="arrivals after an outage, most of a minute ÷ capacity",
        limit=1.2,
        is_cost=True,
    ),
    Figure(
        name="herd_arrivals_at_once",
        label="the same when all TVs call within a second",
        limit=1.2,
        is_cost=True,
    ),
    Figure(name="stats_ms", label="GET /api/v1/stats, ms", limit=50, is_cost=True),
)


def whole(found: Figures) -> dict[str, Any]:
    """All figures on the first level; null for what wasn't measured."""
    values = {each.name: found.get(each.name) for each in FIGURES} | dict(found)
    return {
        **values,
        "limits": {each.name: each.limit for each in FIGURES},
        "limits_missed": [e.name for e in FIGURES if e.is_missed(values[e.name])],
        "not_measured": [e.name for e in FIGURES if values[e.name] is None],
    }


def lines(report: Figures) -> list[str]:
    rows = [("figure", "limit", "measured", "beside it")]
    rows += [
        (
            each.label,
            f"{'≤' if each.is_cost else '≥'} {each.limit:g}",
            f"{report[each.name]:.3g}",
            each.beside.format(**report),
        )
        for each in FIGURES
        if report[each.name] is not None
    ]
    cpu = ", ".join(f"{n} {us:,.0f}" for n, us in report["cpu_us_per_sync"].items())
    return [
        *_table(rows),
        "",
        f"CPU a sync, µs: {cpu}",
        f"memory of the largest web process: {report['rss_mib_per_process']:,.0f} MiB",
        f"WAL a sync: {report['wal_bytes_per_sync']:,.0f} bytes",
        f"limits missed: {', '.join(report['limits_missed']) or 'none'}",
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]

"""The figures of all sizes as one object, and as a table beside their limits."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]

_TIMED = ("copy", "own_copy", "collect", "castless", "whole", "first_reading")


@dataclass(frozen=True)
class Limit:
    figure: str
    label: str
    limit: float
    is_cost: bool

    def is_missed(self, value: float) -> bool:
        exceeds = operator.gt if self.is_cost else operator.lt
        return bool(exceeds(value, self.limit))


LIMITS = (
    Limit("collect_vs_copy", "collect, of COPY's rate", 0.7, is_cost=False),
    Limit("assign_vs_sgemm", "assignment, of sgemm's rate", 0.6, is_cost=False),
    Limit("merge_100_seconds", "sums of 100 shards merged, seconds", 10, is_cost=True),
    # Flat: what a larger shard takes more is noise, and names it has more of.
    Limit("growth_of_memory", "peak memory, largest / smallest", 1.25, is_cost=True),
)


def of_size(pattern_count: int, found: Figures) -> dict[str, Any]:
    """Rates of one size, from its seconds."""
    rates = {
        f"{name}_rows_per_second": pattern_count / found[f"{name}_seconds"]
        for name in _TIMED
    }
    return {
        "patterns": pattern_count,
        "collect_vs_copy": found["copy_seconds"] / found["collect_seconds"],
        "castless_vs_copy": found["copy_seconds"] / found["castless_seconds"],
        "whole_vs_copy": found["copy_seconds"] / found["whole_seconds"],
        **rates,
        **found,
    }


def whole(
    sizes: Sequence[Figures], assignment: Figures, merging: Figures
) -> dict[str, Any]:
    """The worst of all sizes on the first level, each size's own below ``sizes``."""
    smallest, largest = sizes[0], sizes[-1]
    figures = {
        "collect_vs_copy": min(size["collect_vs_copy"] for size in sizes),
        "whole_vs_copy": min(size["whole_vs_copy"] for size in sizes),
        **assignment,
        **merging,
        "peak_rss_mib": max(size["peak_rss_mib"] for size in sizes),
        "growth": {
            "patterns": largest["patterns"] / smallest["patterns"],
            "collect_seconds": _ratio(sizes, "collect_seconds"),
            "copy_seconds": _ratio(sizes, "copy_seconds"),
            "whole_seconds": _ratio(sizes, "whole_seconds"),
            "peak_rss": _ratio(sizes, "peak_rss_mib"),
        },
        "sizes": list(sizes),
    }
    values = {**figures, "growth_of_memory": figures["growth"]["peak_rss"]}
    missed = [each.figure for each in LIMITS if each.is_missed(values[each.figure])]
    if not merging["merge_is_exact"]:
        missed.append("merge_is_exact")
    return {
        **figures,
        "limits": {each.figure: each.limit for each in LIMITS},
        "limits_missed": missed,
    }


def lines(report: Figures) -> list[str]:
    values = {**report, "growth_of_memory": report["growth"]["peak_rss"]}
    rows = [("figure", "limit", "measured")]
    rows += [
        (
            each.label,
            f"{'≤' if each.is_cost else '≥'} {each.limit:g}",
            f"{values[each.figure]:.3g}",
        )
        for each in LIMITS
    ]
    columns = (
        ("patterns", "patterns", ",.0f"),
        ("copy_rows_per_second", "COPY rows/s", ",.0f"),
        ("own_copy_rows_per_second", "its statement", ",.0f"),
        ("collect_rows_per_second", "collect rows/s", ",.0f"),
        ("collect_vs_copy", "collect/COPY", ".2f"),
        ("castless_vs_copy", "without cast", ".2f"),
        ("whole_rows_per_second", "with assignment", ",.0f"),
        ("whole_vs_copy", "with/COPY", ".2f"),
        ("peak_rss_mib", "peak MiB", ",.0f"),
        ("first_reading_rows_per_second", "first reading", ",.0f"),
        ("first_reading_rss_mib", "its peak MiB", ",.0f"),
    )
    sizes = [tuple(label for _, label, _ in columns)]
    sizes += [
        tuple(format(size[name], form) for name, _, form in columns)
        for size in report["sizes"]
    ]
    growth = ", ".join(f"{n} × {v:.2f}" for n, v in report["growth"].items())
    return [
        *_table(rows),
        "",
        *_table(sizes),
        "",
        f"growth, largest / smallest: {growth}",
        f"assignment: {report['assign_rows_per_second']:,.0f} rows/s, sgemm "
        f"{report['sgemm_gflops']:.0f} GFLOP/s",
        f"merging: {report['merge_shards']} parts of {report['merge_mib']:,.0f} MiB, "
        f"{report['merge_contents']:,} counts of contents, "
        f"{report['merge_pairs']:,} pairs",
        f"limits missed: {', '.join(report['limits_missed']) or 'none'}",
    ]


def _ratio(sizes: Sequence[Figures], name: str) -> float:
    return float(sizes[-1][name] / sizes[0][name])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]

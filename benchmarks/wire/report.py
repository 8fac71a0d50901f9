"""The figures of both fleets as one object, and as a table beside limits and peers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One that is in the report whatever happens; ``limit`` if it has to keep one."""

    name: str
    label: str
    #: Whether less is better; of two fleets the worse one counts.
    is_cost: bool
    limit: float | None = None
    #: What stands beside it: words, and the name of the figure.
    peers: tuple[tuple[str, str], ...] = ()

    def worst(self, fleets: Mapping[str, Figures]) -> float | None:
        known = [f[self.name] for f in fleets.values() if f[self.name] is not None]
        worst: Callable[[list[float]], float] = max if self.is_cost else min
        return worst(known) if known else None

    def is_missed(self, value: float | None) -> bool:
        if self.limit is None or value is None:
            return False
        exceeds = operator.gt if self.is_cost else operator.lt
        return bool(exceeds(value, self.limit))


FIGURES = (
    Figure(
        name="up_bytes_p99_10_coded",
        label="bytes up p99: 10 new as codes, 5 updates, 5 removals",
        is_cost=True,
        limit=1024,
        peers=(
            ("p50", "up_bytes_p50_10_coded"),
            ("zstd-JSON", "up_bytes_p99_10_json_zstd"),
        ),
    ),
    Figure(
        name="up_bytes_p99_2_int8",
        label="bytes up p99: 2 new as int8, 5 updates, 5 removals",
        is_cost=True,
        limit=1024,
        peers=(("p50", "up_bytes_p50_2_int8"),),
    ),
    Figure(
        name="down_bytes_p99",
        label="bytes down p99: everything",
        is_cost=True,
        limit=5120,
        peers=(("p50", "down_bytes_p50"), ("zstd-JSON", "down_bytes_p99_json_zstd")),
    ),
    Figure(
        name="down_bytes_unchanged_max",
        label="bytes down, most: nothing new",
        is_cost=True,
        limit=128,
    ),
    Figure(
        name="cosine_down_mean",
        label="cosine down, mean",
        is_cost=False,
        limit=0.98,
        peers=(("bound", "bound_down"), ("OPQ", "opq_down_mean")),
    ),
    Figure(
        name="cosine_down_p5",
        label="cosine down, 5th percentile",
        is_cost=False,
        peers=(("OPQ", "opq_down_p5"),),
    ),
    Figure(
        name="cosine_up_mean",
        label="cosine up, mean, households the codebook hasn't seen",
        is_cost=False,
        limit=0.97,
        peers=(("bound", "bound_up"), ("OPQ", "opq_up_mean")),
    ),
    Figure(
        name="cosine_up_p5",
        label="cosine up, 5th percentile",
        is_cost=False,
        peers=(("OPQ", "opq_up_p5"),),
    ),
    Figure(
        name="top10_overlap",
        label="top 10 of the 100 at the TV that stay",
        is_cost=False,
    ),
    Figure(
        name="codec_us_per_sync",
        label="reading and writing, mean of an hour's syncs, µs of one core",
        is_cost=True,
        limit=150,
        peers=(
            ("10 new up and everything down", "codec_us_dearest"),
            ("zstd-JSON", "codec_us_json"),
        ),
    ),
    Figure(
        name="lift_kept",
        label="NDCG@10 through codes / through float32 JSON",
        is_cost=False,
        limit=0.98,
        peers=(("two JSON runs apart by", "noise"),),
    ),
)


def of_fleets(fleets: Mapping[str, Figures]) -> dict[str, Any]:
    """Give the worst of all fleets, and each fleet's own figures below its name."""
    worst = {figure.name: figure.worst(fleets) for figure in FIGURES}
    return worst | {
        "limits_missed": [f.name for f in FIGURES if f.is_missed(worst[f.name])],
        "not_measured": [name for name, value in worst.items() if value is None],
        "fleets": dict(fleets),
    }


def lines(whole: Figures) -> list[str]:
    """Write the table: a row for each figure and fleet."""
    rows = [("figure", "limit", "fleet", "measured", "", "beside it")]
    for figure in FIGURES:
        label, limit = figure.label, _limit(figure)
        for name, figures in whole["fleets"].items():
            rows.append((label, limit, name, *_cells(figure, figures)))
            label = limit = ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [
        *table,
        "",
        f"limits missed: {', '.join(whole['limits_missed']) or 'none'}",
        f"not measured: {', '.join(whole['not_measured']) or 'none'}",
    ]


def _cells(figure: Figure, figures: Figures) -> tuple[str, str, str]:
    value = figures[figure.name]
    beside = "; ".join(
        f"{words} {_number(figures[name])}"
        for words, name in figure.peers
        if figures.get(name) is not None
    )
    is_worth_a_word = figure.limit is not None and value is not None
    word = ("MISSED" if figure.is_missed(value) else "met") if is_worth_a_word else ""
    return _number(value), word, beside


def _limit(figure: Figure) -> str:
    if figure.limit is None:
        return ""
    return f"{'≤' if figure.is_cost else '≥'} {_number(figure.limit)}"


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, int) or value >= 10:
        return f"{value:,.0f}"
    return f"{value:.4f}".rstrip("0").rstrip(".")

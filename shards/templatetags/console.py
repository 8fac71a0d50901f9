"""The console's few drawings: bars, badges, sparklines, and numbers for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone

from shards.condition import fill_of
from shards.models import Shard

register = template.Library()

SPARKLINE_WIDTH = 96
SPARKLINE_HEIGHT = 24
SPARKLINE_MARGIN = 3  # room for the dot at the end


@register.inclusion_tag("console/bar.html")
def capacity_bar(shard: Shard) -> dict[str, Any]:
    """Show how full a shard is; amber from 75 %, red from 90 %."""
    return {
        **_bar(shard.used_fraction),
        "tone": fill_of(shard.used_fraction).value,
        "label": percent(shard.used_fraction),
        "note": f"{compact(shard.device_count)} of {compact(shard.max_devices)}",
        "meaning": f"{shard.name}: places taken",
    }


@register.inclusion_tag("console/bar.html")
def share_bar(fraction: float, label: str = "", meaning: str = "") -> dict[str, Any]:
    """Show a share of a whole, or of the largest, without judging it."""
    return {**_bar(fraction), "tone": "plain", "label": label, "meaning": meaning}


@register.inclusion_tag("unfold/helpers/label.html")
def badge(text: str, tone: str = "", title: str = "") -> dict[str, str]:
    return {"text": text, "type": tone, "size": "md", "label_title": title}


@register.inclusion_tag("console/sparkline.html")
def sparkline(values: Sequence[float], meaning: str = "") -> dict[str, Any]:
    """Draw values between 0 and 1, oldest first."""
    points = _points(values)
    return {
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        "last": [f"{part:.1f}" for part in points[-1]] if points else None,
        "width": SPARKLINE_WIDTH,
        "height": SPARKLINE_HEIGHT,
        "meaning": meaning,
    }


@register.filter
def number(value: float) -> str:
    return f"{value:,.0f}"


@register.filter
def decimal(value: float) -> str:
    """Two digits that matter: 0.042, 4.2, 42, 1,234."""
    if abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value else "0"


@register.filter
def times(factor: float) -> str:
    return f"× {decimal(factor)}"


@register.filter
def compact(value: float) -> str:
    """Shorten for a narrow place: 950, 4.2 k, 3.91 M, 1.6 G."""
    if abs(value) < 10_000:
        return number(value)
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, unit = next(each for each in units if abs(value) >= each[0])
    scaled = value / size
    return f"{scaled:.0f} {unit}" if abs(scaled) >= 100 else f"{scaled:.3g} {unit}"


@register.filter
def percent(fraction: float) -> str:
    value = fraction * 100
    if 0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


@register.filter
def ago(instant: datetime | None) -> str:
    """Say how long ago something was, to the largest unit."""
    if instant is None:
        return "never"
    return f"{span(timezone.now() - instant)} ago"


@register.filter
def span(length: timedelta | float | None) -> str:
    """Say how long something takes: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if length is None:
        return "–"
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bar(fraction: float) -> dict[str, Any]:
    return {"percent": f"{min(max(fraction, 0.0), 1.0) * 100:.1f}"}


def _points(values: Sequence[float]) -> list[tuple[float, float]]:
    if not values:
        return []
    width = SPARKLINE_WIDTH - 2 * SPARKLINE_MARGIN
    height = SPARKLINE_HEIGHT - 2 * SPARKLINE_MARGIN
    step = width / max(1, len(values) - 1)
    offset = width if len(values) == 1 else 0.0
    return [
        (SPARKLINE_MARGIN + offset + i * step, SPARKLINE_MARGIN + (1 - value) * height)
        for i, value in enumerate(values)
    ]

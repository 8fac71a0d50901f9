from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shards import selectors
from shards.forecast import Forecast, Point, forecast
from shards.models import ShardHour

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def daily(*device_counts: int) -> list[Point]:
    return [
        Point(NOON + timedelta(days=day), device_count)
        for day, device_count in enumerate(device_counts)
    ]


def test_steady_growth_fills_what_is_free():
    assert forecast(daily(100, 150, 200), free_places=400) == Forecast(
        growth_per_day=50.0, days_to_full=8.0
    )


def test_an_odd_day_moves_the_line_little():
    """100 to 190 in tens, but for a day at 400: far from 30 a day at its jump."""
    counts = [100, 110, 120, 130, 400, 150, 160, 170, 180, 190]

    result = forecast(daily(*counts), free_places=100)

    assert result is not None
    assert 8 < result.growth_per_day < 10


@pytest.mark.parametrize("counts", [(100, 100), (100, 90)])
def test_a_shard_that_does_not_grow_is_never_full(counts):
    result = forecast(daily(*counts), free_places=10)

    assert result is not None
    assert result.days_to_full is None


def test_a_full_shard_is_full_now():
    result = forecast(daily(100, 90), free_places=0)

    assert result is not None
    assert result.days_to_full == 0.0


@pytest.mark.parametrize(
    "points",
    [
        [],
        daily(100),
        [Point(NOON, 100), Point(NOON + timedelta(hours=23), 200)],
    ],
)
def test_less_than_a_day_says_nothing(points):
    assert forecast(points, free_places=10) is None


@pytest.mark.django_db
def test_each_shard_has_its_own_history(vega, altair):
    """Vega: 24 TVs a day, 1000 places free; what is older than 28 days is not read."""
    ShardHour.objects.bulk_create(
        ShardHour(
            shard=vega,
            hour=NOON - timedelta(hours=hours),
            device_count=device_count,
            active_device_count=0,
            pattern_count=0,
        )
        for hours, device_count in ((29 * 24, 900), (48, 0), (24, 24), (0, 48))
    )

    forecasts = selectors.forecasts(NOON)

    assert forecasts[altair.id] is None
    of_vega = forecasts[vega.id]
    assert of_vega is not None
    assert of_vega.growth_per_day == pytest.approx(24)
    assert of_vega.days_to_full == pytest.approx(1000 / 24)

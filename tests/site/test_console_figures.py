"""Numbers for people, and the geometry of what is drawn."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.template import Context, Template
from django.utils import timezone

from shards.models import Shard
from shards.templatetags import console


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10 k"),
        (999_999, "1000 k"),
        (3_240_000, "3.24 M"),
        (400_000_000, "400 M"),
        (1_600_000_000, "1.6 G"),
    ],
)
def test_large_numbers_are_shortened(value, shown):
    assert console.compact(value) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [(0, "0.0 %"), (0.0004, "< 0.1 %"), (0.042, "4.2 %"), (0.754, "75 %")],
)
def test_percentages_keep_the_digits_that_matter(fraction, shown):
    assert console.percent(fraction) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.042, "0.042"), (4.21, "4.2"), (1234.5, "1,234")],
)
def test_decimals_keep_two_digits(value, shown):
    assert console.decimal(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.43, "0.4 s"),
        (59, "59 s"),
        (119, "119 s"),
        (180, "3 min"),
        (7_200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_spans_are_told_in_their_largest_unit(seconds, shown):
    assert console.span(timedelta(seconds=seconds)) == shown


def test_instants_are_told_by_their_age():
    assert console.ago(timezone.now() - timedelta(minutes=3)) == "3 min ago"
    assert console.ago(None) == "never"


@pytest.mark.parametrize(
    ("device_count", "width", "tone"),
    [(0, "0.0%", "roomy"), (80, "80.0%", "nearly-full"), (130, "100.0%", "full")],
)
def test_capacity_bar_never_leaves_its_track(device_count, width, tone):
    shard = Shard(id=0, name="vega", max_devices=100, device_count=device_count)
    template = Template("{% load console %}{% capacity_bar shard %}")

    bar = template.render(Context({"shard": shard}))

    assert f"width: {width}" in bar
    assert f"cs-bar-{tone}" in bar


def test_sparkline_rises_to_its_last_point():
    drawn = console.sparkline([0.0, 0.5, 1.0])

    assert drawn["points"] == "3.0,21.0 48.0,12.0 93.0,3.0"
    assert drawn["last"] == ["93.0", "3.0"]


def test_sparkline_of_one_version_is_a_dot_at_the_end():
    assert console.sparkline([1.0])["points"] == "93.0,3.0"


def test_sparkline_of_nothing_draws_nothing():
    assert console.sparkline([])["last"] is None

from __future__ import annotations

import json

import pytest

from benchmarks.wire.report import FIGURES, lines, of_fleets

GOOD = {
    "up_bytes_p99_10_coded": 1024,
    "up_bytes_p50_10_coded": 990,
    "up_bytes_p99_2_int8": 1000,
    "down_bytes_p99": 5120,
    "down_bytes_unchanged_max": 30,
    "cosine_down_mean": 0.99,
    "cosine_down_p5": 0.97,
    "cosine_up_mean": 0.97,
    "cosine_up_p5": 0.93,
    "top10_overlap": 0.9,
    "codec_us_per_sync": 120.5,
    "lift_kept": 1.01,
}
WITHOUT_LIFT = GOOD | {"lift_kept": None}


def test_of_two_fleets_the_worse_counts():
    whole = of_fleets(
        {
            "here": GOOD | {"down_bytes_p99": 4000, "cosine_up_mean": 0.99},
            "there": GOOD | {"down_bytes_p99": 4800, "cosine_up_mean": 0.98},
        }
    )

    assert whole["down_bytes_p99"] == 4800
    assert whole["cosine_up_mean"] == 0.98
    assert whole["fleets"]["here"]["down_bytes_p99"] == 4000


def test_a_figure_of_one_fleet_alone_is_that_of_all():
    whole = of_fleets({"here": WITHOUT_LIFT, "there": GOOD})

    assert whole["lift_kept"] == 1.01
    assert whole["not_measured"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("up_bytes_p99_10_coded", 1025),
        ("up_bytes_p99_2_int8", 1025),
        ("down_bytes_p99", 5121),
        ("down_bytes_unchanged_max", 129),
        ("cosine_down_mean", 0.979),
        ("cosine_up_mean", 0.969),
        ("codec_us_per_sync", 150.1),
        ("lift_kept", 0.979),
    ],
)
def test_a_limit_that_is_missed_is_named(name, value):
    whole = of_fleets({"here": GOOD | {name: value}, "there": GOOD})

    assert whole["limits_missed"] == [name]


def test_what_was_not_measured_is_neither_kept_nor_missed():
    whole = of_fleets({"here": WITHOUT_LIFT})

    assert whole["lift_kept"] is None
    assert whole["limits_missed"] == []
    assert whole["not_measured"] == ["lift_kept"]


def test_the_object_is_json():
    whole = of_fleets({"here": WITHOUT_LIFT})

    assert json.loads(json.dumps(whole)) == whole


def test_the_table_shows_limit_and_peer_beside_each_figure():
    table = lines(of_fleets({"here": GOOD | {"cosine_up_mean": 0.95}}))

    [row] = [line for line in table if "10 new as codes" in line]
    assert row.split()[-6:] == ["1,024", "here", "1,024", "met", "p50", "990"]
    [row] = [line for line in table if line.startswith("cosine up, mean")]
    assert row.split()[-5:] == ["≥", "0.97", "here", "0.95", "MISSED"]
    assert table[-2] == "limits missed: cosine_up_mean"
    assert table[-1] == "not measured: none"


def test_every_figure_has_its_row():
    table = "\n".join(lines(of_fleets({"here": GOOD})))

    assert [figure.label for figure in FIGURES if figure.label not in table] == []

"""What operators are told of trends is stored with them, beside what TVs are given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation import rows
from federation.result import ResultOrigin, ResultTrend, RoundResult

pytestmark = pytest.mark.django_db

RISING = ResultTrend("eu", 1, "tt1", 0.8, 0.3, 0.1, 60, "rising")
STEADY = ResultTrend("eu", 2, "tt2", 0.1, 0.4, 0.4, 80, "steady")
FADING = ResultTrend("eu", 1, "tt3", 0.5, 0.0, 0.4, 0, "fading")
ORIGIN = ResultOrigin(
    course=(0.1, 0.3),
    shard_ids=(2, 0),
    shard_shares=(0.75, 0.25),
    batch_ids=(1 << 40,),
    batch_shares=(0.9,),
    shard_concentration=0.625,
    batch_concentration=0.82,
    carrying_batch=1 << 40,
)
RESULT = RoundResult(
    trends=(RISING, STEADY),
    fading=(FADING,),
    origins=(ORIGIN, ResultOrigin(), ResultOrigin(course=(0.4, 0.0))),
)


def test_kinds_and_origins_come_back_as_they_were_written():
    rows.write_result("default", 1, RESULT)

    read = rows.read_result("default", 1)

    assert read.trends == RESULT.trends
    assert read.fading == RESULT.fading
    assert read.origins == RESULT.origins


def test_a_result_without_origins_is_written_all_the_same():
    rows.write_result("default", 1, replace(RESULT, origins=()))

    assert rows.read_result("default", 1).origins == (ResultOrigin(),) * 3


def test_a_checksum_is_of_what_tvs_are_given():
    risen = replace(RESULT, trends=(replace(RISING, kind="new"), STEADY))

    assert replace(RESULT, fading=(), origins=()).checksum() == RESULT.checksum()
    assert risen.checksum() != RESULT.checksum()

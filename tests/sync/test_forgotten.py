"""A TV that was forgotten is in no later round, and in no later reply."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from django.test import Client

from federation import rounds
from federation.models import RoundPart
from shards.models import Shard
from shards.services import batches
from tests.sync.television import Television, addition

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

DEVICES = "/api/v1/devices"

#: Five TVs have seen it, which is just enough. All nine have seen the other.
SECRET, COMMON = "tt-secret", "tt-common"


@pytest.fixture(autouse=True)
def _thresholds(settings):
    settings.MIN_DEVICES_PER_PATTERN = 5
    settings.MIN_SOURCE_COUNT = 2


@pytest.fixture
def keepers():
    """Five TVs with the secret, on three shards; four more know nothing of it."""
    for number, name in enumerate(["vega", "altair", "deneb"]):
        Shard.objects.create(id=number, name=name, max_devices=100)
    key = batches.create_batch(name="spring").enrolment_key
    tvs = [enrolled(key) for _ in range(9)]
    for number, tv in enumerate(tvs):
        seen = [COMMON, SECRET] if number < 5 else [COMMON]
        answer = tv.post(tv.body(added=[watched(seen)]))
        assert answer.json()["accepted"]["stored"] == 1
    return tvs[:5]


def enrolled(key: str) -> Television:
    answer = Client().post(
        DEVICES, json.dumps({"enrolment_key": key}), content_type="application/json"
    )
    told = answer.json()
    return Television(
        device_id=UUID(told["device_id"]),
        shard_alias=f"shard_{told['shard_id']:03}",
        token=told["token"],
    )


def watched(contents: list[str]):
    given = addition(seed=1)
    return given | {
        "success_rate": 0.95,
        "context": given["context"] | {"content_ids": contents},
    }


def forget(tv: Television) -> None:
    answer = Client().delete(
        f"{DEVICES}/{tv.device_id}", headers={"Authorization": tv.authorization}
    )
    assert answer.status_code == 204


def forgetting(tv: Television, *, in_step: str):
    """Watch a round, and forget a TV when it comes to a step."""
    seen: list[str] = []

    def progress(step: str, _done: int, _total: int) -> None:
        if step == in_step and step not in seen:
            forget(tv)
        seen.append(step)

    return progress


def told(tv: Television) -> str:
    """All that a TV is told when it knows nothing."""
    answer = tv.post(tv.body(local_version=2, global_version=0))
    assert answer.status_code == 200
    return json.dumps(answer.json()["global"])


def run_round(**options) -> None:
    assert rounds.run_round(**options).status == "published"


def test_with_all_five_the_secret_is_told(keepers):
    run_round()

    assert SECRET in told(keepers[0])


def test_one_forgotten_before_a_round_is_not_in_it(keepers):
    forget(keepers[4])

    run_round()

    assert SECRET not in told(keepers[0])
    assert COMMON in told(keepers[0])


def test_one_forgotten_between_the_readings_is_not_in_the_round(keepers):
    run_round(progress=forgetting(keepers[4], in_step="collecting"))

    assert SECRET not in told(keepers[0])
    assert COMMON in told(keepers[0])


def test_one_forgotten_after_the_readings_is_not_in_the_next_round(keepers):
    """What was read by then is sums, in which nobody is found again."""
    run_round(progress=forgetting(keepers[4], in_step="merging"))
    assert SECRET in told(keepers[0])

    run_round()

    assert SECRET not in told(keepers[1])
    assert COMMON in told(keepers[1])


def test_one_forgotten_later_is_in_no_reply_after_the_next_round(keepers):
    run_round()
    assert SECRET in told(keepers[0])
    forget(keepers[4])

    run_round()

    assert SECRET not in told(keepers[1])
    assert COMMON in told(keepers[1])


def test_no_pattern_outlives_the_round_that_sampled_it(keepers):
    """What is kept of a round to do it again is sums."""
    run_round()

    names = set(RoundPart.objects.values_list("name", flat=True))
    assert {"plan", "collecting/0"} <= names
    assert not {name for name in names if name.startswith("sampling")}

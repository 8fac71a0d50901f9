"""What a round was made of, doing it again, and what changed from round to round."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from federation import parts, rollback, rounds
from federation.changes import changes
from federation.collect import SecondReading
from federation.exceptions import ResultNotKept, RoundNotReplayable, RoundUnknown
from federation.models import (
    FederationRound,
    GlobalPattern,
    Publication,
    RoundEvent,
    RoundPart,
)
from federation.replay import replay
from federation.report import RoundReport
from tests.federation import fleets

pytestmark = [
    pytest.mark.django_db(
        databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
    ),
    pytest.mark.usefixtures("low_thresholds"),
]

FLEET = fleets.plant(tv_count=60, taste_count=5, patterns_per_tv=2, seed=31)


@pytest.fixture
def shards():
    shards = fleets.make_shards(3)
    fleets.store(FLEET, shards)
    return shards


def federate(*arguments: object) -> str:
    output = StringIO()
    call_command("federate", *map(str, arguments), stdout=output, stderr=StringIO())
    return output.getvalue()


def number(report: RoundReport) -> int:
    assert report.round_id is not None
    return report.round_id


def trace() -> list[int]:
    """Whatever a round would leave."""
    kept = (FederationRound, RoundEvent, RoundPart, Publication, GlobalPattern)
    return [model.objects.count() for model in kept]


def test_rounds_are_reproduced_whatever_the_settings_are_by_now(shards, settings):
    reports = [rounds.run_round(), rounds.run_round()]
    before = trace()
    settings.MIN_DEVICES_PER_PATTERN = 50
    settings.SECRET_KEY = "of another installation"
    fleets.wipe_tvs()

    replayed = [replay(number(report)) for report in reports]

    assert [each.is_reproduced for each in replayed] == [True, True]
    assert [each.replayed for each in replayed] == [each.checksum for each in reports]
    assert trace() == before
    told = json.loads(federate("--replay", number(reports[1]), "--json"))
    assert told["is_reproduced"] is True
    assert told["checksum"] == told["replayed_checksum"] == reports[1].checksum
    manifest = json.loads(federate("--manifest", number(reports[1])))
    assert manifest["checksum"] == reports[1].checksum
    assert set(manifest["inputs"]) == {
        *("previous", "plan"),
        *(f"collecting/{n}" for n in range(3)),
    }
    assert "outcome" in manifest["outputs"]
    assert manifest["parameters"]["min_devices"] == 5


def test_what_was_changed_is_found(shards):
    round_id = number(rounds.run_round())
    name = "collecting/1"
    given = parts.load(SecondReading, round_id, name)
    assert given is not None
    devices = given.sums.devices.copy()
    devices[0] += 1
    forged = parts.packed(
        round_id, name, replace(given, sums=replace(given.sums, devices=devices))
    )

    told = FederationRound.objects.get(pk=round_id)
    FederationRound.objects.update(checksum="0" * 64)

    assert "0" * 64 in replay(round_id).differences[0]
    FederationRound.objects.update(checksum=told.checksum)

    # With a digest that fits it: the manifest has another.
    RoundPart.objects.filter(round_id=round_id, name=name).delete()
    forged.save()
    replayed = replay(round_id)

    assert not replayed.is_reproduced
    assert [each.split(":")[0] for each in replayed.differences] == [name]
    assert forged.sha256 in replayed.differences[0]
    with pytest.raises(CommandError, match="not reproduced"):
        federate("--replay", round_id)

    # And one that says it was like that.
    told.manifest["inputs"][name] = forged.sha256
    told.save()
    replayed = replay(round_id)

    assert not replayed.is_reproduced
    assert any(each.startswith("manifest") for each in replayed.differences)

    RoundPart.objects.filter(round_id=round_id, name=name).update(zstd=b"moth-eaten")
    RoundPart.objects.filter(round_id=round_id, name="plan").delete()
    found = " ".join(replay(round_id).differences)

    assert "collecting/1: has bytes that can't be read" in found
    assert "plan: is missing" in found


def test_rounds_that_can_not_be_replayed_say_why(shards):
    with pytest.raises(RoundUnknown, match="no round 7; the newest is none"):
        replay(7)
    abandoned = rounds.run_round(shard_ids=[0])
    assert abandoned.status == "abandoned"

    with pytest.raises(RoundNotReplayable, match="it had no result"):
        replay(number(abandoned))

    first, second = rounds.run_round(), rounds.run_round()
    repeated = rollback.republish()
    with pytest.raises(RoundNotReplayable, match="it is a roll-back"):
        replay(number(repeated))

    RoundPart.objects.filter(round_id=number(first)).delete()
    with pytest.raises(RoundNotReplayable, match=f"rounds {number(second)} are kept"):
        replay(number(first))
    assert not changes(number(first), number(repeated)).moved
    Publication.objects.filter(round_id=number(first)).delete()
    with pytest.raises(ResultNotKept, match=f"{number(second)}"):
        changes(number(first), number(second))
    with pytest.raises(CommandError, match="isn't kept"):
        federate("--diff", number(first), number(second))


def test_what_changed_for_tvs_is_told(shards):
    first = rounds.run_round()
    kept = [
        replace(tv, patterns=tuple(p for p in tv.patterns if p.taste != 4))
        for tv in FLEET.tvs
    ]
    newcomers = fleets.plant(tv_count=30, taste_count=2, patterns_per_tv=1, seed=77)
    fleets.wipe_tvs()
    fleets.store(replace(FLEET, tvs=(*kept[::2], *newcomers.tvs)), shards)
    second = rounds.run_round()

    found = changes(number(first), number(second))

    before = cells_of(first.global_version)
    after = cells_of(second.global_version)
    assert set(found.patterns.added) == after.keys() - before.keys()
    assert set(found.patterns.removed) == before.keys() - after.keys()
    assert found.patterns.sizes == (len(before), len(after))
    assert found.moved
    for cell, cosine in found.moved:
        assert cosine == pytest.approx(float(before[cell] @ after[cell]), abs=1e-5)
    assert found.links.removed or found.links.changed
    assert not changes(number(first), number(first)).lines()[1:]
    told = json.loads(federate("--diff", number(first), number(second), "--json"))
    assert told["rounds"] == [number(first), number(second)]
    assert told["patterns"]["added"] == list(found.patterns.added)
    people = federate("--diff", number(first), number(second))
    assert f"From round {number(first)} (version 1)" in people
    assert f"{len(found.moved)} moved" in people


def cells_of(version: int) -> dict[int, np.ndarray]:
    return {
        row.cell: np.asarray(row.embedding)
        for row in GlobalPattern.objects.filter(version=version)
    }

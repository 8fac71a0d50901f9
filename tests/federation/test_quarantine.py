"""What operators put under quarantine is in no later round; TVs don't notice."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from federation import quarantine, rounds
from federation.exceptions import NotQuarantinable, NotQuarantined
from federation.models import FederationRound, GlobalPattern, Link, Quarantine, Trend
from shards.models import EnrolmentBatch
from tests.federation import fleets

SHARDS = ["default", "shard_000", "shard_001"]

pytestmark = [
    pytest.mark.django_db(databases=SHARDS, transaction=True),
    pytest.mark.usefixtures("low_thresholds"),
]

FLEET = fleets.plant(tv_count=60, taste_count=3, seed=31)


def told_by(*arguments):
    out = StringIO()
    call_command("quarantine", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_rounds_leave_out_tvs_batches_cells_and_contents():
    fleets.store(FLEET, fleets.make_shards(2))
    rounds.run_round()
    cell = GlobalPattern.objects.values_list("cell", flat=True)[0]
    batch = EnrolmentBatch.objects.create(pk=1, name="leaked", key_digest=b"1")
    tv = next(tv for tv in FLEET.tvs if tv.batch_id != batch.pk)
    left = [each for each in FLEET.tvs if each.batch_id != batch.pk and each != tv]

    quarantine.add(kind="device", name=str(tv.id).upper())
    quarantine.add(kind="batch", name="leaked", reason="its key is on the net")
    quarantine.add(kind="cell", name=str(cell))
    quarantine.add(kind="content", name="film-0-a")
    report = rounds.run_round()

    assert report.is_published
    assert sum(row.device_count for row in report.shards) == len(left)
    published = GlobalPattern.objects.filter(version=report.global_version)
    assert published.exists()
    assert not published.filter(cell=cell).exists()
    assert not published.filter(content_ids__contains=["film-0-a"]).exists()
    trends = Trend.objects.filter(version=report.global_version)
    assert not trends.filter(item="film-0-a").exists()
    links = Link.objects.filter(version=report.global_version)
    assert not links.filter(content_id="film-0-a").exists()
    assert not links.filter(related_ids__contains=["film-0-a"]).exists()
    told = FederationRound.objects.latest("pk")
    assert told.parameters["quarantined"] == {
        "devices": [str(tv.id)],
        "batches": [1],
        "cells": [cell],
        "contents": ["film-0-a"],
    }
    assert report.as_json()["defences"]["quarantined_cells"] == 1


def test_the_command_adds_lists_and_removes():
    EnrolmentBatch.objects.create(pk=7, name="autumn", key_digest=b"7")

    added = told_by("add", "--batch", "autumn", "--reason", "odd")
    listed = told_by("list")["quarantine"]
    removed = told_by("remove", "--batch", "7")

    assert (added["kind"], added["name"], added["reason"]) == ("batch", "7", "odd")
    assert listed == [added]
    assert removed == added
    assert not Quarantine.objects.exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("device", "no-uuid"),
        ("batch", "nobody knows it"),
        ("batch", "99"),
        ("cell", "-1"),
        ("cell", "99999999999"),
        ("content", "x" * 65),
        ("content", ""),
    ],
)
def test_what_can_be_nothing_of_its_kind_is_refused(kind, name):
    with pytest.raises(NotQuarantinable):
        quarantine.add(kind=kind, name=name)


def test_nothing_is_quarantined_twice_or_let_out_unseen():
    quarantine.add(kind="cell", name="007")

    with pytest.raises(NotQuarantinable, match="Cell 7 can't be put under quarantine"):
        quarantine.add(kind="cell", name="7")
    with pytest.raises(NotQuarantined):
        quarantine.remove(kind="cell", name="8")
    with pytest.raises(CommandError, match="isn't under quarantine"):
        call_command("quarantine", "remove", "--content", "film")

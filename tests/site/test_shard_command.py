"""``manage.py shard`` and ``manage.py forget_device``."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from constellation_site import embedded
from shards import services
from shards.databases import configured_shard_ids
from shards.models import Device, Shard, ShardHour

pytestmark = pytest.mark.django_db(databases="__all__")


def run(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*args: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run(*args, "--json"))
    return facts


def test_lists_shards(vega, altair):
    assert run("shard", "list") == (
        "0 vega (global, active): 0 of 1,000 TVs\n"
        "1 altair (global, active): 9 of 10 TVs\n"
        "2 shards, 9 TVs\n"
    )


def test_lists_shards_for_machines(altair):
    assert run_json("shard", "list") == {
        "shards": [
            {
                "id": 1,
                "name": "altair",
                "region": "global",
                "devices": 9,
                "max_devices": 10,
                "used_fraction": 0.9,
                "status": "active",
            }
        ]
    }


def test_drains_and_activates(vega):
    assert run_json("shard", "drain", "Vega")["status"] == "draining"
    assert Shard.objects.get().status == Shard.Status.DRAINING

    assert run_json("shard", "activate", "0")["status"] == "active"
    assert Shard.objects.get().status == Shard.Status.ACTIVE


def test_an_unknown_shard_is_answered_with_those_there_are(vega):
    with pytest.raises(CommandError, match=r"no shard mizar; the shards are 0 \(vega"):
        run("shard", "drain", "mizar")


def test_forecasts(vega, altair):
    """10 TVs a day: 1,000 places last 100 days."""
    now = timezone.now()
    for days, device_count in ((2, 0), (1, 10), (0, 20)):
        ShardHour.objects.create(
            shard=vega,
            hour=now - timedelta(days=days),
            device_count=device_count,
            active_device_count=0,
            pattern_count=0,
        )

    first, second = run("shard", "forecast").splitlines()
    facts = run_json("shard", "forecast")["shards"]

    assert first.endswith("+10 a day, full in 100 days")
    assert second.endswith("less than a day of history")
    assert facts[0]["days_to_full"] == pytest.approx(100)
    assert facts[1]["days_to_full"] is None


def test_adds_a_shard_for_a_database_without_one(vega):
    facts = run_json(
        *("shard", "add", "--name", "mizar", "--region", "eu"),
        *("--max-devices", "77", "--sync-url", "https://mizar.example.org/api/v1/sync"),
    )

    mizar = Shard.objects.get(name="mizar")
    assert facts["id"] == mizar.id == 1
    assert (mizar.region, mizar.max_devices) == ("eu", 77)
    assert mizar.sync_url == "https://mizar.example.org/api/v1/sync"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--region", "E U"], "--region 'E U': accepted are 1 to 32 of a-z"),
        (["--max-devices", "0"], "--max-devices 0: accepted are 1 to"),
        (["--name", "n" * 65], "--name: accepted are at most 64"),
    ],
)
def test_says_what_a_shard_may_be(db, arguments, message):
    with pytest.raises(CommandError) as caught:
        run("shard", "add", *arguments)

    assert message in str(caught.value)


@pytest.fixture
def home(settings, tmp_path, monkeypatch):
    """An embedded installation with a shard for every database."""
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    settings.CONSTELLATION_HOME = tmp_path
    embedded.set_shard_count(tmp_path, len(configured_shard_ids()))
    services.ensure_shards()
    return tmp_path


def test_the_next_up_makes_an_embedded_shard(home):
    added = len(configured_shard_ids())

    facts = run_json("shard", "add")

    assert facts == {"id": added, "restart_needed": True}
    assert embedded.shard_count(home) == added + 1


def test_an_embedded_shard_begins_with_the_defaults(home):
    with pytest.raises(CommandError, match="--name, --region: an embedded shard"):
        run("shard", "add", "--name", "mizar", "--region", "eu")

    assert embedded.shard_count(home) == len(configured_shard_ids())


def test_databases_of_ones_own_come_first(home, monkeypatch):
    monkeypatch.setenv("POSTGRES_URL", "postgresql://db.example.org/constellation")

    with pytest.raises(CommandError, match="Append the URL of a new one"):
        run("shard", "add")


@pytest.fixture
def tv(vega) -> str:
    key = services.batches.create_batch(name="spring").enrolment_key
    return str(services.enrol(enrolment_key=key).device_id)


def test_a_dry_run_forgets_nobody(vega, tv):
    facts = run_json("forget_device", tv, "--dry-run")

    assert facts == {"device_id": tv, "shard_id": 0, "forgotten": False}
    assert Device.objects.using(vega.alias).exists()


def test_a_tv_is_forgotten(vega, tv):
    assert run_json("forget_device", tv)["forgotten"]

    assert not Device.objects.using(vega.alias).exists()


@pytest.mark.parametrize(
    ("device_id", "message"),
    [
        ("tv-1", "accepted is a UUID"),
        ("00000000-0000-0000-0000-000000000001", "There is no TV"),
    ],
)
def test_a_tv_that_is_not_there_is_an_error(vega, device_id, message):
    with pytest.raises(CommandError, match=message):
        run("forget_device", device_id)

"""``federate`` and ``rollback_publication`` as an operator or a schedule runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from datetime import timedelta
from pathlib import Path
from threading import Timer
from urllib.parse import quote

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.models.functions import Now

from federation import lease, rounds, selectors
from federation.management.commands import federate
from federation.models import FederationRound
from shards.databases import shard_alias
from shards.models import Shard
from tests.federation import fleets
from tests.running import free_ports, wait_for

pytestmark = [
    pytest.mark.django_db(
        databases=["default", "shard_000", "shard_001", "shard_002"], transaction=True
    ),
    pytest.mark.usefixtures("low_thresholds"),
]

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"


@pytest.fixture
def fleet():
    """Three shards with twenty TVs each."""
    fleets.store(fleets.plant(tv_count=60, taste_count=3), fleets.make_shards(3))


@pytest.fixture
def run(capsys):
    """Run a command in this process, giving what it wrote."""

    def run(*words: str):
        call_command(*words)
        return capsys.readouterr()

    return run


def test_json_is_one_object_with_the_documented_keys(fleet, run):
    output, _ = run("federate", "--json")

    told = json.loads(output)
    assert list(told) == [
        "round",
        "status",
        "global_version",
        "patterns_aggregated",
        "trends_detected",
        "patterns_suppressed",
        "trends_suppressed",
        "links_suppressed",
        "defences",
        "checksum",
        "shards",
        "seconds",
    ]
    assert told["round"] == FederationRound.objects.get().pk
    assert (told["status"], told["global_version"]) == ("published", 1)
    assert told["patterns_aggregated"] >= 3
    assert told["trends_detected"] > 0
    assert len(told["checksum"]) == 64
    assert [shard["shard_id"] for shard in told["shards"]] == [0, 1, 2]
    assert {shard["status"] for shard in told["shards"]} == {"published"}


def test_people_get_a_line_a_shard_and_a_total(fleet, run):
    output, _ = run("federate")

    lines = output.splitlines()
    assert lines[0] == "star 0: published, 40 patterns of 20 TVs"
    assert len(lines) == 4
    assert ": published, version 1, " in lines[-1]


def test_a_partial_round_succeeds_and_names_who_is_missing(vega, altair, deneb, run):
    fleets.store(fleets.plant(tv_count=60), [vega, altair])

    output, errors = run("federate", "--json")

    assert json.loads(output)["status"] == "partial"
    assert "Partial: deneb: " in errors


def test_an_abandoned_round_fails_and_still_reports(capsys):
    fleets.make_shards(3)

    with pytest.raises(CommandError, match="Abandoned: There is nothing to publish"):
        call_command("federate", "--json")

    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["global_version"]) == ("abandoned", 0)
    assert told["checksum"]


def test_a_round_that_outlasts_our_patience_is_named(fleet, monkeypatch):
    monkeypatch.setattr(federate, "PATIENCE_SECONDS", 0)
    running = lease.open_round()

    with pytest.raises(CommandError, match=f"Round {running.pk} is running"):
        call_command("federate")


def test_a_single_round_waits_for_another_to_be_over(fleet, run):
    running = lease.open_round()

    def end_it():
        FederationRound.objects.filter(pk=running.pk).update(status="abandoned")
        connections.close_all()

    ending = Timer(1, end_it)
    ending.start()

    output, _ = run("federate", "--json")
    ending.join()

    assert json.loads(output)["status"] == "published"


def test_a_dry_run_publishes_nothing(fleet, run):
    output, _ = run("federate", "--dry-run", "--json")

    told = json.loads(output)
    assert (told["round"], told["status"], told["global_version"]) == (
        None,
        "dry_run",
        0,
    )
    assert told["patterns_aggregated"] >= 3
    assert selectors.current_version() == 0


def test_shards_may_be_chosen_by_name_or_number(fleet, run):
    output, _ = run("federate", "--shard", "star 0", "--shard", "2", "--json")

    shards = json.loads(output)["shards"]
    assert [shard["status"] for shard in shards] == [
        "published",
        "left_out",
        "published",
    ]


def test_a_shard_that_is_not_there_is_refused(fleet):
    with pytest.raises(CommandError, match=r"0 \(star 0\)"):
        call_command("federate", "--shard", "polaris")


@pytest.mark.parametrize(
    "words", [["--interval", "0"], ["--interval", "5", "--dry-run"]]
)
def test_an_interval_that_makes_no_sense_is_refused(words):
    with pytest.raises(CommandError, match="--interval takes seconds from 1"):
        call_command("federate", *words)


def test_a_taken_port_is_named_with_the_option_that_moves_it(fleet):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(CommandError, match=f"{address}.*--metrics-addr"):
            call_command("federate", "--interval", "5", "--metrics-addr", address)


@pytest.mark.parametrize("address", ["localhost:http", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(fleet, address):
    with pytest.raises(CommandError, match=f"{address}.*HOST:PORT"):
        call_command("federate", "--interval", "5", "--metrics-addr", address)


def test_sigterm_means_what_it_meant_before_once_a_round_is_over(fleet, run):
    before = signal.getsignal(signal.SIGTERM)

    run("federate")

    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_with_an_interval_rounds_follow_each_other_until_sigterm(fleet):
    with free_ports(1) as (address,):
        process = federating(address)
    try:
        wait_for(lambda: selectors.current_version("shard_001") >= 2, seconds=300)
        scraped = metrics(address)
    finally:
        output = end(process)

    assert process.returncode == 0
    told = [json.loads(line) for line in output.splitlines()]
    assert [each["global_version"] for each in told[:2]] == [1, 2]
    assert 'constellation_federation_rounds_total{status="published"}' in scraped
    assert "constellation_federation_duration_seconds_count" in scraped
    assert "constellation_federation_patterns_aggregated" in scraped
    assert "constellation_federation_trends_detected" in scraped


def test_a_round_is_due_an_interval_after_the_last_one_began(fleet, run):
    assert rounds.due_in_seconds(3600) == 0

    run("federate")

    assert 3500 < rounds.due_in_seconds(3600) <= 3600
    assert rounds.due_in_seconds(0.001) == 0


def test_a_roll_back_does_not_delay_the_next_round(fleet, run):
    run("federate")
    run("federate")
    FederationRound.objects.update(started_at=Now() - timedelta(minutes=10))

    run("rollback_publication")

    assert rounds.due_in_seconds(3600) < 3001


@pytest.mark.slow
def test_with_an_interval_a_database_may_be_away_for_a_while(fleet, run, tmp_path):
    """The socket of one shard appears only after some rounds have failed."""
    run("federate")
    real = socket_directory("shard_002")
    away = tmp_path / "socket"
    urls = [url_of("shard_000"), url_of("shard_001"), url_of("shard_002", str(away))]
    process = federating(
        MIN_SOURCE_COUNT="3", SHARD_POSTGRES_URLS=",".join(urls), LOG_LEVEL="ERROR"
    )
    try:
        abandoned = FederationRound.objects.filter(status="abandoned")
        wait_for(abandoned.exists, seconds=300)
        away.symlink_to(real)
        wait_for(lambda: selectors.current_version("shard_002") >= 2, seconds=300)
    finally:
        end(process)

    assert process.returncode == 0


def test_rolling_back_repeats_the_version_before(fleet, run):
    first = json.loads(run("federate", "--json")[0])
    fleets.store(fleets.plant(tv_count=30, seed=8), list(Shard.objects.all()))
    second = json.loads(run("federate", "--json")[0])

    output, _ = run("rollback_publication", "--json")

    told = json.loads(output)
    assert second["checksum"] != first["checksum"]
    assert told["checksum"] == first["checksum"]
    assert (told["status"], told["global_version"]) == ("published", 3)


def test_rolling_back_before_the_first_version_fails(fleet):
    with pytest.raises(CommandError, match="No version before the current one"):
        call_command("rollback_publication")


def test_rolling_back_to_a_version_that_is_gone_names_those_kept(fleet, run):
    run("federate")

    with pytest.raises(CommandError, match="Version 9 isn't kept; there are: 1"):
        call_command("rollback_publication", "--to", "9")


def metrics(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as page:
        return str(page.read().decode())


def end(process: subprocess.Popen[str]) -> str:
    """Ask it to end, and give what it wrote."""
    process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    return output


def federating(
    metrics_address: str = "127.0.0.1:0", **environ: str
) -> subprocess.Popen[str]:
    """Start a process that federates this test's databases every second."""
    return subprocess.Popen(
        [
            *(sys.executable, str(MANAGE), "federate", "--interval", "1", "--json"),
            *("--metrics-addr", metrics_address),
        ],
        env={
            **os.environ,
            "POSTGRES_URL": url_of("default"),
            "SHARD_POSTGRES_URLS": ",".join(url_of(shard_alias(n)) for n in range(3)),
            "MIN_DEVICES_PER_PATTERN": "5",
            "MIN_SOURCE_COUNT": "2",
            **environ,
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def url_of(alias: str, host: str = "") -> str:
    entry = connections[alias].settings_dict
    host = quote(host or socket_directory(alias), safe="/")
    return f"postgresql://{entry['USER']}@/{entry['NAME']}?host={host}"


def socket_directory(alias: str) -> str:
    entry = connections[alias].settings_dict
    return str(entry["HOST"] or entry["OPTIONS"]["host"])

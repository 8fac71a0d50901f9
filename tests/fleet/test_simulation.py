"""A whole fleet, against Vega."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import orjson
import pytest
from django.core.management import CommandError, call_command

from fleet import parallel, rounds, simulation
from fleet.brain import Brain
from fleet.client import PROTOBUF, SyncResult
from fleet.errors import FleetError
from fleet.simulation import Options
from fleet.synthetic import Plan, SyntheticFleet
from fleet.tally import Tally
from tests.fleet.codebooks import codebook_body
from tests.fleet.patterns import direction
from tests.fleet.press import OTHER_PUBLIC, PUBLIC
from tests.fleet.vega import KEY, Fault, Vega
from tests.running import wait_for

KEYS = {
    "tvs",
    "wire",
    "syncs",
    "errors",
    "bytes_up_p50",
    "bytes_up_p99",
    "bytes_down_p50",
    "bytes_down_p99",
}
LIFT_KEYS = {
    "users",
    "ndcg_alone",
    "ndcg_trends",
    "ndcg_federated",
    "ndcg_centralised",
    "ndcg_ease",
}


@pytest.fixture
def options(vega: Vega, wire: str) -> Options:
    return Options(
        server=vega.url, enrolment_key=KEY, tvs=6, syncs=2, threads=3, wire=wire
    )


@pytest.fixture
def movielens(tmp_path: Path) -> Path:
    """Four users with 30 films each, all of them liked, in an order of their own."""
    films = [f'{i},"Film, {i} (1999)",Drama|Crime' for i in range(40)]
    orders = [np.random.default_rng(user).permutation(40)[:30] for user in range(4)]
    ratings = [
        f"{user},{film},5.0,{1_000 + moment}"
        for user, order in enumerate(orders)
        for moment, film in enumerate(order)
    ]
    header = "userId,movieId,rating,timestamp"
    folder = tmp_path / "movielens"
    folder.mkdir()
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *films]))
    (folder / "ratings.csv").write_text("\n".join([header, *ratings]))
    np.save(folder / "embeddings.npy", np.stack([direction(i) for i in range(40)]))
    return folder


def simulate(vega: Vega, *arguments: str) -> None:
    call_command(
        "simulate",
        "--url",
        vega.url,
        "--enrolment-key",
        KEY,
        "--tvs",
        "4",
        "--syncs",
        "2",
        *arguments,
    )


def test_server_holds_what_every_tv_knows(vega, options):
    report = simulation.run(options)

    assert (report.tvs, report.tally.sync_count, report.errors) == (6, 12, 0)
    held = [_counts(home.rows.values()) for home in vega.homes.values()]
    known = [
        _counts((p.success_rate, p.watched_count) for p in patterns)
        for patterns in _known(options)
    ]
    assert sorted(held) == sorted(known)
    assert {home.version for home in vega.homes.values()} == {2}


def _counts(rows):
    """Likes and viewings of each pattern; ids differ from run to run."""
    return sorted((round(rate * samples), samples) for rate, samples in rows)


def _known(options: Options):
    assert options.tvs is not None
    fleet = SyntheticFleet(Plan(seed=options.seed, households=options.tvs))
    for household in range(options.tvs):
        brain = Brain(household_id=UUID(int=household))
        for round_number in range(options.syncs):
            brain.watch(fleet.viewings(household, round_number))
        yield brain.patterns()


def test_every_run_has_new_tvs(vega, options):
    simulation.run(options)
    simulation.run(options)

    assert len(vega.homes) == 12


def test_kept_tvs_go_on_where_they_were(vega, options, tmp_path):
    kept = replace(options, state=tmp_path / "fleet")
    simulation.run(kept)

    simulation.run(kept)

    assert len(vega.homes) == 6
    assert {home.version for home in vega.homes.values()} == {4}
    assert vega.tokens_given == 6


def test_regions_are_dealt_out_in_turn(vega, options):
    simulation.run(replace(options, regions=("north", "south"), threads=1))

    enrolments = [s for s in vega.requests if s.path == "/api/v1/devices"]
    regions = [seen.body["region"] for seen in enrolments]
    assert regions == ["north", "south"] * 3


def test_leaving_fleet_leaves_nothing_behind(vega, options):
    simulation.run(replace(options, leaves=True))

    assert vega.homes == {}


def test_failing_tv_is_counted_and_the_others_go_on(vega, options):
    vega.faults += [None, Fault(403, {"code": "batch_full", "detail": "Full."})]

    report = simulation.run(options)

    assert report.tally.errors == {"batch_full": 1}
    assert report.tally.examples == {"batch_full": "403 Full."}
    assert report.tally.sync_count == 11


def test_wire_is_chosen_and_told(vega, capsys, wire):
    simulate(vega, "--json", "--wire", wire)

    assert orjson.loads(capsys.readouterr().out)["wire"] == wire
    assert {seen.is_binary for seen in vega.syncs} == {wire == PROTOBUF}


def test_binary_fleet_fetches_its_codebook_once(vega, options):
    vega.codebooks = {1: codebook_body(1)}
    vega.publish(5)

    report = simulation.run(replace(options, wire=PROTOBUF))

    assert report.errors == 0
    assert sorted(vega.fetched) == ["codebooks/1", "publications/5/manifest"]


def test_kept_fleet_has_its_bundles_when_it_comes_back(vega, options, tmp_path):
    vega.codebooks = {1: codebook_body(1)}
    vega.publish(5)
    kept = replace(options, wire=PROTOBUF, state=tmp_path / "fleet")

    simulation.run(kept)
    simulation.run(kept)

    assert vega.fetched.count("codebooks/1") == 1


def test_only_keys_that_are_given_are_trusted(vega, capsys):
    vega.codebooks = {1: codebook_body(1)}
    vega.publish(5)

    simulate(vega, "--wire", PROTOBUF, "--bundle-key", PUBLIC.hex())
    with pytest.raises(CommandError, match="syncs failed"):
        simulate(vega, "--wire", PROTOBUF, "--bundle-key", OTHER_PUBLIC.hex())

    assert "bundle_untrusted" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["", "ab", "no key"])
def test_key_that_is_none_is_refused(vega, key):
    with pytest.raises(CommandError, match="--bundle-key"):
        simulate(vega, "--bundle-key", key)


def test_what_does_not_fit_one_sync_follows_in_more(vega, options):
    info = {"global_version": 0, "limits": {"patterns_per_sync": 2}}
    vega.faults.append(Fault(200, info))

    simulation.run(replace(options, tvs=1, syncs=1))

    [expected] = _known(replace(options, tvs=1, syncs=1))
    assert len(vega.home.rows) == len(expected) > 2
    assert max(len(s.body["delta"]["patterns_added"]) for s in vega.syncs) == 2


def test_server_that_is_never_content_is_an_error_and_no_hot_loop(
    vega, options, monkeypatch
):
    monkeypatch.setattr(simulation, "SETTLING_SYNCS", 3)
    vega.asks_for_resync = True

    report = simulation.run(replace(options, tvs=1, syncs=1))

    assert report.tally.errors == {"never_settled": 1}
    assert report.tally.sync_count == 1 + 3


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b"{}", b'{"pending": null}'])
def test_tv_whose_state_is_lost_is_told_where_it_stood(vega, options, tmp_path, state):
    options = replace(options, tvs=1, syncs=1, state=tmp_path)
    simulation.run(replace(options, syncs=2))
    (tmp_path / "tv-000000.json").write_bytes(state)

    report = simulation.run(options)

    assert report.errors == 0
    assert len(vega.homes) == 1
    assert vega.home.version == 3


def test_no_server_is_said_before_anything_starts(options):
    with pytest.raises(FleetError, match="No Constellation server answers at"):
        simulation.run(replace(options, server="http://127.0.0.1:1"))


def test_endless_fleet_syncs_at_its_pace_and_stops_when_told(vega, options):
    begun = time.monotonic()

    # 432 s between syncs, as Vega asks, become 0.1 s
    with stopped_after(lambda: len(vega.syncs) >= 20) as stop:
        report = simulation.run(
            replace(options, is_endless=True, pace=0.1 / 432), stop=stop
        )

    seconds = time.monotonic() - begun
    assert 20 <= report.tally.sync_count <= 6 * (1 + seconds / 0.1)
    assert report.errors == 0


@contextmanager
def stopped_after(condition: Callable[[], bool]) -> Iterator[threading.Event]:
    """An event that somebody who watches sets once the condition is true."""
    stop = threading.Event()

    def watch() -> None:
        try:
            wait_for(condition)
        finally:
            stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield stop
    finally:
        watcher.join()


def test_bug_in_a_thread_is_not_swallowed(vega, options, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError

    monkeypatch.setattr("fleet.television.Television.live_a_round", broken)

    with pytest.raises(ZeroDivisionError):
        simulation.run(options)


def test_percentiles_are_sizes_that_occurred():
    tally = Tally()
    for size in range(1, 101):
        tally.confirmed(
            SyncResult(
                accepted={},
                bytes_up=size,
                bytes_down=10 * size,
                attempts=1,
                next_sync_seconds=300,
            )
        )

    assert (tally.bytes_up(50), tally.bytes_up(99)) == (50, 99)
    assert (tally.bytes_down(50), tally.bytes_down(99)) == (500, 990)


def test_fleet_that_never_synced_has_no_sizes():
    assert Tally().bytes_up(50) == 0


def test_json_is_one_object_and_nothing_else(vega, capsys):
    simulate(vega, "--json")

    report = orjson.loads(capsys.readouterr().out)
    assert set(report) == KEYS
    assert (report["tvs"], report["syncs"], report["errors"]) == (4, 8, 0)
    assert 0 < report["bytes_up_p50"] <= report["bytes_up_p99"]


def test_failed_syncs_fail_the_command_and_are_broken_down(vega, capsys):
    vega.faults += [None, Fault(403, {"code": "batch_full", "detail": "Full."})]

    with pytest.raises(CommandError, match=r"1 syncs failed\."):
        simulate(vega, "--json")

    output = capsys.readouterr()
    assert orjson.loads(output.out)["errors"] == 1
    assert "1 × batch_full: 403 Full." in output.err


def test_lift_reports_every_way(vega, movielens, capsys):
    """The round is anything that makes the server publish."""
    vega.news = _news(version=0)

    def publish() -> None:
        # At the start, then for what is newer than what is out; the third is waiting.
        wait_for(lambda: len(vega.looks) >= 3)
        vega.news = _news(version=3)

    schedule = threading.Thread(target=publish)
    schedule.start()

    simulate(vega, "--json", "--lift", "--no-round", "--movielens", str(movielens))

    schedule.join()
    report = orjson.loads(capsys.readouterr().out)
    assert set(report) == KEYS | LIFT_KEYS
    assert (report["tvs"], report["users"]) == (4, 4)
    assert report["ndcg_trends"] > report["ndcg_alone"]


def _news(*, version: int):
    """Everything that user 0 held out is a trend."""
    held_out = np.random.default_rng(0).permutation(40)[24:30]
    return {
        "similar": [],
        "trending": [
            {"content_id": f"ml-{film}", "trending_score": 0.5, "region": "global"}
            for film in held_out
        ],
        "links": [],
        "global_version": version,
    }


def test_round_that_fails_is_told_with_its_words(vega, movielens, monkeypatch):
    monkeypatch.setattr("fleet.rounds.COMMAND_RETRY_SECONDS", 0)
    failing = f"{sys.executable} -c \"raise SystemExit('two shards only')\""

    with pytest.raises(CommandError, match=r"The round failed: .*two shards only"):
        simulate(
            vega, "--lift", "--round-command", failing, "--movielens", str(movielens)
        )


def test_round_command_that_is_not_there_is_told(vega, movielens):
    with pytest.raises(CommandError, match=r"nosuch federate can't be run: No such"):
        simulate(
            vega,
            *("--lift", "--round-command", "nosuch federate"),
            *("--movielens", str(movielens)),
        )


def test_stop_does_not_wait_for_the_end_of_a_round():
    def stopped(_seconds: float) -> None:
        raise parallel.Stopped

    begun = time.monotonic()
    with pytest.raises(parallel.Stopped):
        rounds.run(
            [sys.executable, "-c", "import time; time.sleep(600)"], pause=stopped
        )

    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lift"], "add --movielens"),
        (["--rehearse"], "add --lift"),
        (["--forever", "--movielens", "x"], "a data set ends"),
        (["--state", "x", "--movielens", "x"], "leave --movielens out"),
        (["--movielens", "/nowhere"], r"/nowhere/ratings\.csv is missing"),
    ],
)
def test_options_that_make_no_sense_are_refused(vega, arguments, message):
    with pytest.raises(CommandError, match=message):
        simulate(vega, *arguments)


def test_key_is_found_where_up_keeps_it(vega, tmp_path, settings, monkeypatch):
    monkeypatch.delenv("CONSTELLATION_ENROLMENT_KEY", raising=False)
    settings.CONSTELLATION_HOME = tmp_path
    (tmp_path / "fleet_enrolment_key").write_text(f"{KEY}\n")

    call_command("simulate", "--url", vega.url, "--tvs", "1", "--syncs", "1")

    assert vega.home.version == 1


def test_key_in_the_environment_comes_first(vega, tmp_path, settings, monkeypatch):
    settings.CONSTELLATION_HOME = tmp_path
    (tmp_path / "fleet_enrolment_key").write_text("another")
    monkeypatch.setenv("CONSTELLATION_ENROLMENT_KEY", KEY)

    call_command("simulate", "--url", vega.url, "--tvs", "1", "--syncs", "1")

    assert vega.home.version == 1


def test_without_a_key_the_command_says_how_to_get_one(
    vega, tmp_path, settings, monkeypatch
):
    monkeypatch.delenv("CONSTELLATION_ENROLMENT_KEY", raising=False)
    settings.CONSTELLATION_HOME = tmp_path

    with pytest.raises(CommandError, match=r"manage\.py enrolment_batch create"):
        call_command("simulate", "--url", vega.url)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_an_endless_fleet_between_syncs(vega, settings, number):
    vega.next_sync_seconds = 20_000_000  # 10,000 s at this pace
    command = [
        *(sys.executable, str(settings.BASE_DIR / "manage.py"), "simulate"),
        *("--url", vega.url, "--enrolment-key", KEY),
        *("--tvs", "3", "--forever", "--pace", "0.0005", "--json"),
    ]
    with running(command) as process:
        wait_for(lambda: vega.syncs)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert orjson.loads(output)["syncs"] > 0


def test_fleet_that_is_stopped_early_reports_and_fails(vega, settings):
    """Who reads the report must not take half of it for the whole."""
    command = [
        *(sys.executable, str(settings.BASE_DIR / "manage.py"), "simulate"),
        *("--url", vega.url, "--enrolment-key", KEY, "--threads", "1"),
        *("--tvs", "50", "--syncs", "200", "--json"),
    ]
    with running(command) as process:
        wait_for(lambda: vega.syncs)
        process.send_signal(signal.SIGTERM)
        output, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert 0 < orjson.loads(output)["syncs"] < 50 * 200
    assert b"Stopped before the end." in said


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()

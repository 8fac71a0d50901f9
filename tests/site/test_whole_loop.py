"""The main job against a running installation: TVs sync, a round federates, TVs hear.

What was planted in a synthetic fleet must be found, and real households must be
served better than alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import psutil
import pytest
from sklearn.metrics import adjusted_rand_score

from fleet import simulation
from fleet.brain import Brain
from fleet.simulation import Options
from fleet.synthetic import Plan, SyntheticFleet
from tests.running import Running, free_ports, wait_for

pytestmark = pytest.mark.slow

MOVIELENS = os.environ.get("CONSTELLATION_MOVIELENS_DIR")

REGIONS = ("north", "south")
PLAN = Plan(seed=11, households=240, clusters=24, regions=REGIONS)


@pytest.fixture(scope="module")
def running(up_home) -> Iterator[Running]:
    with free_ports(2) as (rest, metrics):
        server = Running(up_home, rest, metrics, MIN_DEVICES_PER_PATTERN="5")
    try:
        server.wait_until_ready()
        server.have_no_rounds_begin()
        yield server
    finally:
        server.end(signal.SIGINT)


@pytest.fixture(scope="module")
def enrolment_key(running) -> str:
    return str(running.command("enrolment_batch", "create", "spring")["enrolment_key"])


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def planted(running, enrolment_key, tmp_path_factory) -> SyntheticFleet:
    """Three rounds of viewing, one federation."""
    live(running, enrolment_key, tmp_path_factory.getbasetemp() / "fleet", syncs=3)
    running.command("federate")
    return SyntheticFleet(PLAN)


def live(running: Running, enrolment_key: str, state: Path, *, syncs: int) -> None:
    report = simulation.run(
        Options(
            server=running.url,
            enrolment_key=enrolment_key,
            tvs=PLAN.households,
            seed=PLAN.seed,
            regions=REGIONS,
            syncs=syncs,
            state=state,
        )
    )

    assert report.errors == 0


def heard_by_a_new_tv(
    running: Running, enrolment_key: str, http: httpx.Client, region: str = "north"
) -> dict[str, Any]:
    """What the server tells a TV that has nothing yet."""
    tv = http.post(
        f"{running.url}/api/v1/devices",
        json={"enrolment_key": enrolment_key, "region": region},
    ).json()
    reply = http.post(
        tv["sync_url"],
        json={"device_id": tv["device_id"], "delta": {"local_version": 1}},
        headers={"Authorization": f"Device {tv['token']}"},
    )
    news: dict[str, Any] = reply.json()["global"]
    return news


def test_planted_clusters_are_recovered(running, enrolment_key, http, planted):
    """Adjusted Rand index of the planted cluster and the published cell."""
    heard = heard_by_a_new_tv(running, enrolment_key, http)
    cells = np.array([pattern["embedding"] for pattern in heard["similar"]])
    embeddings = np.array(
        [
            pattern.embedding
            for household in range(PLAN.households)
            for pattern in patterns_of(planted, household)
        ]
    )

    index = adjusted_rand_score(
        planted.nearest_cluster(embeddings), (embeddings @ cells.T).argmax(axis=1)
    )

    assert index >= 0.9


def patterns_of(fleet: SyntheticFleet, household: int):
    """Of the planted clusters alone: what was planted to be popular has none."""
    ordinary = {content.content_id for content in fleet.contents}
    brain = Brain(household_id=uuid4())
    for round_number in range(3):
        brain.watch(fleet.viewings(household, round_number))
    return [p for p in brain.patterns() if set(p.content_ids) <= ordinary]


@pytest.mark.parametrize("program", ["manage.py gate", "granian"])
def test_a_killed_gate_or_web_process_is_back(running, http, program):
    restarts = running.output.count("starting it again")
    killed = next(pid for pid in running.processes() if program in command_of(pid))
    os.kill(killed, signal.SIGKILL)

    def is_replaced() -> bool:
        pids = [pid for pid in running.processes() if program in command_of(pid)]
        return bool(pids) and killed not in pids

    wait_for(is_replaced)
    wait_for(lambda: answers(running, http))
    time.sleep(3)
    assert is_replaced()
    assert running.output.count("starting it again") == restarts + 1


def answers(running: Running, http: httpx.Client) -> bool:
    try:
        return http.get(f"{running.url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def command_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_planted_trend_leads_its_region_and_the_popular_does_not(
    running, enrolment_key, http, planted, tmp_path_factory
):
    leaders = []
    for _ in range(2):
        live(running, enrolment_key, tmp_path_factory.getbasetemp() / "fleet", syncs=1)
        running.command("federate")
        heard = heard_by_a_new_tv(running, enrolment_key, http)
        leaders.append(heard["trending"][0]["content_id"])

    rising = {t.region: t.content.content_id for t in planted.trends}
    assert rising["north"] in leaders
    assert planted.popular.content_id not in leaders


@pytest.mark.skipif(MOVIELENS is None, reason="CONSTELLATION_MOVIELENS_DIR is unset")
def test_real_households_are_served_as_well_as_by_centralised_models(
    running, enrolment_key
):
    """NDCG@10 of held-out likes; the centralised one sees everyone's history."""
    lift = running.command(
        *("simulate", "--movielens", str(MOVIELENS), "--lift", "--syncs", "1"),
        *("--url", running.url, "--enrolment-key", enrolment_key),
    )

    assert lift["errors"] == 0
    assert lift["tvs"] == 671
    assert lift["ndcg_federated"] >= lift["ndcg_centralised"]
    assert lift["ndcg_federated"] >= 0.85 * lift["ndcg_ease"]
    assert lift["ndcg_federated"] > lift["ndcg_trends"] > lift["ndcg_alone"]
    assert lift["bytes_down_p99"] <= 5120

"""`manage.py up`: its parts with small programs, then the whole of it for real."""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from grpc_health.v1 import health_pb2, health_pb2_grpc

from constellation.v1 import device_pb2, pattern_pb2, service_pb2_grpc, sync_pb2
from constellation_site.up import lease, ports, preparation, supervisor
from constellation_site.up.errors import UpError
from constellation_site.up.options import Options, local_address
from constellation_site.up.supervisor import Program, Supervisor
from constellation_site.up.terminal import Terminal
from shards.models import EnrolmentBatch
from tests.running import BASE_DIR, Running, free_ports, runs, wait_for

#: Starts a child of its own, names it, and takes no notice of SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
time.sleep(60)
"""

#: Keeps one program and says its pid, until it is killed.
SUPERVISING = """
import sys, time
from pathlib import Path
from constellation_site.up.supervisor import Program, Supervisor
from constellation_site.up.terminal import Terminal
supervisor = Supervisor(Terminal(sys.stdout), environment={}, folder=Path("/"))
supervisor.keep(Program("child", ["/bin/sh", "-c", "echo $$; exec sleep 60"]))
time.sleep(60)
"""


def options(home: Path, **changes: Any) -> Options:
    usual = Options(
        home=home,
        rest_address="127.0.0.1:8080",
        grpc_address="127.0.0.1:50051",
        metrics_address="127.0.0.1:9090",
        workers=2,
        threads=4,
        federation_interval_seconds=3600,
        is_demo=True,
        demo_tvs=10,
    )
    return replace(usual, **changes)


@pytest.fixture
def screen() -> io.StringIO:
    """What the operator sees."""
    return io.StringIO()


@pytest.fixture
def children(screen, tmp_path) -> Iterator[Supervisor]:
    children = Supervisor(Terminal(screen), environment=os.environ, folder=tmp_path)
    yield children
    children.kill()
    children.stop()


def shell(name: str, script: str) -> Program:
    return Program(name, ["/bin/sh", "-c", script])


def relayed(screen: io.StringIO, name: str) -> list[str]:
    lines = [line.partition("|") for line in screen.getvalue().splitlines()]
    return [text.strip() for label, bar, text in lines if bar and name in label]


def test_output_of_a_process_carries_its_name(children, screen):
    children.run(shell("web", "echo one; echo two >&2"), meanwhile=children.tend)

    assert relayed(screen, "web") == ["one", "two"]


def test_failed_program_is_named_with_its_status_and_last_words(children):
    with pytest.raises(UpError) as failure:
        children.run(shell("fleet", "echo no key; exit 3"), meanwhile=children.tend)

    assert str(failure.value).startswith("fleet ended with exit status 3.")
    assert "no key" in str(failure.value)


def test_process_that_dies_is_started_again(children, screen, tmp_path):
    script = "echo try; [ -e once ] && exec sleep 60; touch once; kill -9 $$"
    children.keep(shell("observer", script))
    wait_for(lambda: children.tend() or relayed(screen, "observer") == ["try", "try"])

    assert "observer was ended by SIGKILL; starting it again (1 of 5)" in (
        screen.getvalue()
    )


def test_process_that_dies_again_and_again_ends_it_all(children, monkeypatch):
    monkeypatch.setattr(supervisor, "RESTART_DELAYS_SECONDS", (0.0, 0.0))
    children.keep(shell("web", "echo port is gone; exit 1"))

    with pytest.raises(
        UpError, match=r"(?s)web ended with exit status 1.*port is gone"
    ):
        wait_for(children.tend)


def test_stubborn_process_is_killed_with_all_it_started(children, screen, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE", supervisor.GRACE / 100)
    children.keep(Program("web", [sys.executable, "-c", STUBBORN]))
    wait_for(lambda: relayed(screen, "web"))
    grandchild = int(relayed(screen, "web")[0])
    assert runs(grandchild)
    children.stop()

    wait_for(lambda: not runs(grandchild))


def test_processes_stop_last_started_first(children, screen, tmp_path):
    script = (
        "trap 'echo {0} >> order; exit' TERM; echo up; while :; do sleep 0.05; done"
    )
    for name in ("web", "observer", "fleet"):
        children.keep(shell(name, script.format(name)))
        wait_for(functools.partial(relayed, screen, name))
    children.stop()

    assert (tmp_path / "order").read_text().split() == ["fleet", "observer", "web"]


def test_processes_end_with_a_killed_supervisor():
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISING],
        cwd=BASE_DIR,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        child = int(process.stdout.readline().rpartition("|")[2])
        assert runs(child)
        process.kill()

    wait_for(lambda: not runs(child))


def test_lines_of_many_processes_stay_whole(screen):
    terminal = Terminal(screen)

    def chatter(name: str) -> None:
        for _ in range(200):
            terminal.relay(name, "x" * 50)

    names = [f"p{number}" for number in range(4)]
    threads = [threading.Thread(target=chatter, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = screen.getvalue().splitlines()
    assert len(lines) == 800
    assert all(re.fullmatch(r"p\d +\| x{50}", line) for line in lines)


@pytest.mark.parametrize("option", ["--rest-addr", "--grpc-addr", "--metrics-addr"])
def test_taken_port_is_named_with_the_option_that_moves_it(
    tmp_path, option, monkeypatch
):
    monkeypatch.setattr(ports, "PATIENCE", ports.PATIENCE * 0)
    with socket.create_server(("127.0.0.1", 0)) as holder, free_ports(1) as (free,):
        port = holder.getsockname()[1]
        addresses = {
            "--rest-addr": {"rest_address": f"127.0.0.1:{port}"},
            "--grpc-addr": {"grpc_address": f"127.0.0.1:{port}"},
            "--metrics-addr": {"metrics_address": f"127.0.0.1:{port}"},
        }
        other = {f"{door}_address": free for door in ("rest", "grpc", "metrics")}

        with pytest.raises(UpError, match=f"Port {port} is taken") as refusal:
            ports.check(options(tmp_path, **other | addresses[option]))
    assert f"with {option} 127.0.0.1:{port + 1}" in str(refusal.value)


def test_address_of_another_machine_is_refused_at_once(tmp_path):
    wanted = options(tmp_path, rest_address="192.0.2.1:8080")  # TEST-NET-1

    with pytest.raises(UpError, match=r"Cannot listen on 192\.0\.2\.1:8080") as refusal:
        ports.check(wanted)
    assert os.strerror(errno.EADDRNOTAVAIL) in str(refusal.value)


def test_second_up_of_a_home_is_refused(tmp_path):
    with (
        lease.held(tmp_path),
        pytest.raises(UpError, match=f"already running .*process {os.getpid()}"),
        lease.held(tmp_path),
    ):
        pass

    with lease.held(tmp_path):
        pass  # free again


@pytest.mark.parametrize(
    ("address", "typed"),
    [
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("[::]:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("tv.example:80", "tv.example:80"),
    ],
)
def test_address_is_shown_as_one_would_type_it(address, typed):
    assert local_address(address) == typed


def test_command_says_what_an_address_looks_like():
    with pytest.raises(CommandError, match="'8080' is not host:port"):
        call_command("up", "--rest-addr", "8080")


def test_demo_lowers_the_privacy_threshold_and_up_without_it_does_not(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("MIN_DEVICES_PER_PATTERN", raising=False)
    preparation.settle_demo_settings(options(tmp_path, is_demo=True))
    assert (tmp_path / "demo.env").read_text() == "MIN_DEVICES_PER_PATTERN=5\n"
    preparation.settle_demo_settings(options(tmp_path, is_demo=False))

    assert not (tmp_path / "demo.env").exists()


def test_demo_keeps_a_threshold_that_the_operator_has_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MIN_DEVICES_PER_PATTERN", "20")
    preparation.settle_demo_settings(options(tmp_path, is_demo=True))

    assert not (tmp_path / "demo.env").exists()


@pytest.mark.django_db
def test_first_operator_gets_a_password_that_is_kept_for_the_next_time(tmp_path):
    login = preparation.ensure_login(tmp_path)

    assert login.password
    assert preparation.ensure_login(tmp_path) == login
    assert User.objects.get(username="admin").check_password(login.password)
    file = tmp_path / "operator.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["password"] == login.password


@pytest.mark.django_db
def test_password_that_the_operator_has_changed_is_left_alone(tmp_path):
    preparation.ensure_login(tmp_path)
    admin = User.objects.get(username="admin")
    admin.set_password("chosen in the console")
    admin.save()

    assert preparation.ensure_login(tmp_path).password is None
    admin.refresh_from_db()
    assert admin.check_password("chosen in the console")


@pytest.mark.django_db
def test_fleet_keeps_its_key_while_the_batch_is_open(tmp_path):
    file = tmp_path / "fleet_enrolment_key"
    preparation.ensure_enrolment_key(file)
    first_key = file.read_text()
    preparation.ensure_enrolment_key(file)
    assert file.read_text() == first_key
    EnrolmentBatch.objects.update(status="closed", name="An earlier fleet")
    preparation.ensure_enrolment_key(file)

    assert file.read_text() != first_key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_counters_of_earlier_processes_are_cleared(tmp_path):
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    (metrics / "counter_1.db").touch()
    preparation.clean_directory(metrics)

    assert list(metrics.iterdir()) == []


@pytest.mark.slow
def test_demo_runs_stops_and_finds_its_data_again(up_home):
    """The whole installation: ready, used, stopped, killed, started again."""
    with free_ports(2) as (rest, metrics):
        first = Running(up_home, rest, metrics, "--demo", "--tvs", "500")
    try:
        first.wait_until_ready()
        version = check_that_it_serves(first)
        log_in(first)
        check_that_a_new_tv_learns_from_others(first, up_home)
        check_that_grpc_serves(first, up_home)
        assert (
            "constellation_sync_requests_total"
            in httpx.get(first.metrics_url, trust_env=False, timeout=120).text
        )
        family = first.processes()
        assert len(family) > 10
    finally:
        status = first.end(signal.SIGINT)
    assert status == 0, first.output
    wait_for(lambda: not any(map(runs, family)))
    assert first.output.endswith("\nStopping\nStopped; the data are kept.\n")

    second = Running(up_home, rest, metrics, "--demo", "--tvs", "500")
    try:
        second.wait_until_ready()
        assert "Creating the PostgreSQL data directory" not in second.output
        assert "first federation round" not in second.output
        assert check_that_it_serves(second) >= version
        log_in(second)
        family = second.processes()
    finally:
        second.end(signal.SIGKILL)
    wait_for(lambda: not any(map(runs, family)))


def check_that_it_serves(running: Running) -> int:
    """Probes, console, API and metrics; return the published version."""
    with httpx.Client(base_url=running.url, trust_env=False, timeout=120) as client:
        assert client.get("/health/ready").status_code == 200
        assert client.get("/", follow_redirects=True).url.path == "/admin/login/"
        version = int(client.get("/api/v1/info").json()["global_version"])
        assert version >= 1
        wait_for(lambda: "total_devices" in client.get(running.metrics_url).text)
    return version


def check_that_a_new_tv_learns_from_others(running: Running, home: Path) -> None:
    """Enrolled with the fleet's key, with a single pattern of its own."""
    enrolment_key = (home / "fleet_enrolment_key").read_text().strip()
    pattern = {
        "id": str(uuid.uuid4()),
        "embedding": [1.0] * 384,
        "success_rate": 0.9,
        "sample_count": 5,
    }
    delta = {"patterns_added": [pattern], "local_version": 1}
    with httpx.Client(base_url=running.url, trust_env=False, timeout=120) as client:
        tv = client.post("/api/v1/devices", json={"enrolment_key": enrolment_key})
        assert tv.status_code == 201, tv.text
        device_id, token = tv.json()["device_id"], tv.json()["token"]
        reply = client.post(
            "/api/v1/sync",
            json={"device_id": device_id, "delta": delta},
            headers={"Authorization": f"Device {token}"},
        )
    assert reply.status_code == 200, reply.text
    assert reply.json()["accepted"]["stored"] == 1
    assert reply.json()["global"]["similar"]
    assert reply.json()["global"]["trending"]


def check_that_grpc_serves(running: Running, home: Path) -> None:
    """The same for a TV that speaks gRPC, and its syncs are counted with the others."""
    enrolment_key = (home / "fleet_enrolment_key").read_text().strip()
    with grpc.insecure_channel(running.grpc_target) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="constellation.v1.SyncService")
        )
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        stub = service_pb2_grpc.SyncServiceStub(channel)
        tv = stub.Enroll(device_pb2.EnrollRequest(enrolment_key=enrolment_key))
        request = sync_pb2.SyncRequest(
            device_id=tv.device_id,
            delta=pattern_pb2.Delta(
                patterns_added=[
                    pattern_pb2.PatternAddition(
                        id=uuid.uuid4().bytes,
                        int8=bytes([1]) * 384,
                        success_rate=0.9,
                        sample_count=5,
                    )
                ],
                local_version=1,
            ),
        )
        token = (("authorization", f"Device {tv.token}"),)
        reply = stub.Sync(request, metadata=token)
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Sync(request)
    assert reply.accepted.stored == 1
    assert reply.global_news.similar.id_deltas
    told_why = {each.key: str(each.value) for each in refusal.value.trailing_metadata()}
    assert told_why["code"] == "token_missing"
    assert f"gRPC     {running.grpc_target}" in running.output
    told = '{shard_id="none",status="token_missing"} 1.0'
    metrics = httpx.get(running.metrics_url, trust_env=False).text
    assert f"constellation_sync_requests_total{told}" in metrics


def log_in(running: Running) -> None:
    """With the login that the banner shows."""
    found = re.search(r"Login +(\S+) / (\S+)", running.output)
    assert found
    with httpx.Client(base_url=running.url, trust_env=False, timeout=120) as client:
        page = client.get("/admin/login/")
        answer = client.post(
            "/admin/login/?next=/admin/",
            data={
                "username": found[1],
                "password": found[2],
                "csrfmiddlewaretoken": page.cookies["csrftoken"],
            },
            headers={"Referer": running.url},
        )
        assert answer.status_code == 302
        assert client.get(answer.headers["location"]).status_code == 200

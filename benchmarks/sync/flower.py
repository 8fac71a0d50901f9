"""Flower on this machine: updates of 384 floats a second, in two ways.

*SuperLink* is Flower's server and SuperNodes its clients, as its documentation has
them: each message to a client starts a process. *Streams* is its former server, which
it has called deprecated since 1.13 and which is far faster: clients are threads that
stay connected. Neither keeps what it is sent.

Flower wants an older protobuf than the product, so it gets an environment of its own
in the user's cache: ``pip install`` once, 60 MB.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

VERSION = "1.41.0"

#: Of the former server; the best number of clients counts.
STREAM_CLIENTS = (8, 32)
STREAM_ROUNDS = 60

#: Of SuperLink: a client each, and each a process for every message.
NODES = 2
ROUNDS = 4

PATIENCE_SECONDS = 240
POLL_SECONDS = 0.5

_HERE = Path(__file__).resolve().parent


class FlowerError(Exception):
    """Flower could not be installed, or did not do what it was asked for."""


def measured(*, repeats: int = 3) -> dict[str, float]:
    """Measure updates a second: the medians of several runs.

    Keys: ``flower_per_second`` (SuperLink) and ``flower_streams_per_second`` (the
    former server). Raises ``FlowerError``.
    """
    programs = installed()
    by_clients = [
        statistics.median(streams(programs, clients) for _ in range(repeats))
        for clients in STREAM_CLIENTS
    ]
    return {
        "flower_per_second": statistics.median(
            superlink(programs) for _ in range(repeats)
        ),
        "flower_streams_per_second": max(by_clients),
    }


def installed() -> Path:
    """Give the folder of Flower's programs; installs it the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    environment = cache / "constellation-benchmarks" / f"flwr-{VERSION}"
    programs = environment / "bin"
    if not (environment / "is-whole").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(environment)])
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, f"flwr=={VERSION}"])
        (environment / "is-whole").touch()
    return programs


def streams(programs: Path, clients: int) -> float:
    """Updates a second by the former server and clients that stay connected."""
    said = _run(
        [
            *(str(programs / "python"), "-P", str(_HERE / "flower_peer.py")),
            *("--clients", str(clients), "--rounds", str(STREAM_ROUNDS)),
        ]
    )
    return float(json.loads(said.splitlines()[-1])["updates_per_second"])


def superlink(programs: Path, *, nodes: int = NODES, rounds: int = ROUNDS) -> float:
    """Updates a second by SuperLink and SuperNodes, after the first round."""
    with tempfile.TemporaryDirectory(prefix="constellation-flower-") as name:
        home = Path(name)
        link, *ports = _free_ports(1 + nodes)
        address, report = f"127.0.0.1:{link}", home / "rounds.json"
        (home / "config.toml").write_text(
            '[superlink]\ndefault = "local"\n\n'
            f'[superlink.local]\naddress = "{address}"\ninsecure = true\n'
        )
        settings = _environment(programs) | {"FLWR_HOME": str(home)}
        server = [
            *("flower-superlink", "--insecure", "--port", str(link)),
            "--disable-runtime-dependency-installation",
        ]
        client = ["flower-supernode", "--insecure", "--superlink", address, "--port"]
        with ExitStack() as stack:
            stack.enter_context(_running(server, settings, home))
            _wait_until(lambda: _listens(link))
            for port in ports:
                stack.enter_context(_running([*client, str(port)], settings, home))
            config = f'nodes={nodes} rounds={rounds} report="{report}"'
            app = str(_HERE / "flower_app")
            _run(["flwr", "run", app, "local", "--run-config", config], settings)
            _wait_until(report.exists)
        ends: list[tuple[float, int]] = json.loads(report.read_text())
    updates = sum(count for _, count in ends[1:])
    return updates / (ends[-1][0] - ends[0][0])


def _environment(programs: Path) -> dict[str, str]:
    """Flower's programs look for each other in the path."""
    return dict(os.environ) | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "FLWR_TELEMETRY_ENABLED": "0",
    }


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    try:
        return subprocess.run(
            command,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        ).stdout
    except subprocess.TimeoutExpired as exc:
        raise FlowerError(f"{command[0]} takes too long") from exc
    except subprocess.CalledProcessError as exc:
        raise FlowerError(f"{command[0]}: {exc.stderr[-2000:]}") from exc


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], home: Path
) -> Iterator[None]:
    """Run a program of Flower and all that it starts, in a group of their own."""
    with (home / "log").open("a") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise FlowerError("Flower's app did not end")
        time.sleep(POLL_SECONDS)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(count)
        ]
        return [probe.getsockname()[1] for probe in probes]

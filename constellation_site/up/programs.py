"""The command lines of everything `up` runs."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

from constellation_site.up.options import Options
from constellation_site.up.supervisor import GRACE, Program
from sync.gate.channel import CHANNEL_VARIABLE, channel_path

#: The checkout: where manage.py is.
BASE_DIR = Path(__file__).resolve().parent.parent.parent

#: Each TV of the demo says something this often before the first round.
DEMO_SYNCS = 3


def web(sockets: Path, number: int) -> Program:
    socket = _socket(sockets, number)
    return Program(
        "web",
        [
            *(sys.executable, "-m", "granian"),
            *("--interface", "rsgi"),
            *("--uds", str(socket)),
            *("--workers", "1"),
            *("--workers-kill-timeout", str(int(GRACE.total_seconds()) // 2)),
            "--respawn-failed-workers",
            "--no-ws",
            *("--log-level", "error"),
            "constellation_site.rsgi:application",
        ],
        # Told to end several times at once, granian waits for itself. Its workers end
        # with it, and TVs send again what nobody answered.
        death_signal=signal.SIGKILL,
        socket=socket,
        environment={CHANNEL_VARIABLE: channel_path(str(socket))},
    )


def gate(options: Options, sockets: Path) -> Program:
    numbers = range(options.workers)
    webs = [f"--web={_socket(sockets, number)}" for number in numbers]
    return _manage("gate", "gate", "--rest-addr", options.rest_address, *webs)


def _socket(sockets: Path, number: int) -> Path:
    return sockets / f"{number}.sock"


def grpc(options: Options) -> Program:
    return _manage("grpc", "grpcserver", "--grpc-addr", options.grpc_address)


def observer(options: Options) -> Program:
    return _manage("observer", "observe", "--metrics-addr", options.metrics_address)


def federation() -> Program:
    # Its counters reach Prometheus through the observer, like those of the web
    # processes; its own door is left to chance, where nobody is in the way.
    own_metrics = ("--metrics-addr", "127.0.0.1:0")
    worker = _manage("federation", "worker", "--beat", *own_metrics)
    # If the queue is gone as well, Celery waits for it for ever before it ends. What a
    # worker held is finished by whoever comes next.
    return replace(worker, death_signal=signal.SIGKILL)


def first_round() -> Program:
    return _manage("federation", "federate")


def first_syncs(options: Options) -> Program:
    return _manage("fleet", "simulate", *_fleet(options), "--syncs", str(DEMO_SYNCS))


def fleet(options: Options) -> Program:
    return _manage("fleet", "simulate", *_fleet(options), "--forever")


def _fleet(options: Options) -> list[str]:
    return [
        *("--tvs", str(options.demo_tvs)),
        *("--url", options.rest_url),
        *("--enrolment-key-file", str(options.enrolment_key_file)),
        # The same TVs the next time: a TV that is switched on again is no new TV.
        *("--state", str(options.fleet_directory)),
    ]


def _manage(name: str, *arguments: str) -> Program:
    manage = str(BASE_DIR / "manage.py")
    return Program(name, [sys.executable, manage, *arguments])

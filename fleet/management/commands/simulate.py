"""The operator's and the demo's way to have TVs: a fleet against a running server."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from fleet import parallel, simulation
from fleet.bundles import KEY_BYTES
from fleet.client import DEFAULT_WIRE, WIRES
from fleet.errors import FleetError
from fleet.movielens import DatasetError
from fleet.simulation import DEFAULT_SYNCS, DEFAULT_TVS, Options, Report

#: Written by `manage.py up` for the fleet of its demo.
KEY_FILE_NAME = "fleet_enrolment_key"
KEY_VARIABLE = "CONSTELLATION_ENROLMENT_KEY"

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Command(BaseCommand):
    help = (
        "Simulate a fleet of TVs against a running server: to fill a demo, to try an "
        "installation out end to end, or to measure with a real data set what the "
        "fleet's knowledge does for the viewer (--movielens DIR --lift)."
    )

    #: It talks to a server that may be anywhere; nothing of this installation is used.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        _add_fleet_arguments(parser)
        _add_server_arguments(parser)
        _add_lift_arguments(parser)
        parser.add_argument(
            "--json", action="store_true", help="One JSON object on stdout, no more."
        )

    def handle(self, *_args: Any, json: bool, **options: Any) -> None:
        wanted = _options(**options)
        progress = RichProgress()
        try:
            with progress, _stopped_by_signals() as stop:
                report = simulation.run(wanted, progress=progress, stop=stop)
        except (FleetError, DatasetError, ValueError) as exc:
            raise CommandError(str(exc)) from exc
        except parallel.Stopped:
            raise CommandError("Stopped before there was anything to report.") from None

        for line in _error_lines(report):
            self.stderr.write(line)
        if json:
            self.stdout.write(orjson.dumps(report.to_json()).decode())
        else:
            self.stdout.write("\n".join(_lines(report)))
        if wanted.is_endless:
            return
        if stop.is_set():
            raise CommandError("Stopped before the end.")
        if report.errors:
            raise CommandError(f"{report.errors} syncs failed.")


class RichProgress:
    """Bars on stderr, so that stdout stays a machine's."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._current: TaskID | None = None

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(self, *exc_info: object) -> None:
        self._bars.stop()

    def say(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False)

    def begin(self, what: str, total: int | None) -> None:
        if self._current is not None:
            self._bars.stop_task(self._current)
        self._current = self._bars.add_task(what, total=total)

    def advance(self) -> None:
        if self._current is not None:
            self._bars.advance(self._current)


def _add_fleet_arguments(parser: CommandParser) -> None:
    group = parser.add_argument_group("the fleet")
    group.add_argument(
        "--tvs",
        type=_at_least_one,
        metavar="N",
        help=f"How many TVs. Default: {DEFAULT_TVS}, or every user of the data set.",
    )
    group.add_argument(
        "--syncs",
        type=_at_least_one,
        default=DEFAULT_SYNCS,
        metavar="M",
        help="How often each TV watches something and syncs (%(default)s).",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=0,
        help="Another seed is another fleet (%(default)s).",
    )
    group.add_argument(
        "--regions",
        default="",
        metavar="A,B",
        help="Spread the TVs over these regions. Default: the server's choice.",
    )
    group.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="Keep the TVs in this folder, so that the next run goes on with them. "
        "Without it every run has new TVs.",
    )
    group.add_argument(
        "--forget",
        action="store_true",
        dest="leaves",
        help="In the end, every TV has the server forget it.",
    )
    group.add_argument(
        "--forever",
        action="store_true",
        dest="is_endless",
        help="Go on until SIGTERM or Ctrl-C, each TV when the server asks it to.",
    )
    group.add_argument(
        "--pace",
        type=_positive,
        default=1.0,
        help="With --forever: wait so many times what the server asks (%(default)s).",
    )


def _add_server_arguments(parser: CommandParser) -> None:
    group = parser.add_argument_group("the server")
    group.add_argument(
        "--url", help="Where it answers. Default: this installation's REST_ADDR."
    )
    group.add_argument(
        "--enrolment-key",
        metavar="KEY",
        help=f"Default: ${KEY_VARIABLE}, or the key that 'manage.py up --demo' keeps.",
    )
    group.add_argument(
        "--enrolment-key-file", type=Path, metavar="FILE", help="A file that holds it."
    )
    group.add_argument(
        "--wire",
        choices=WIRES,
        default=DEFAULT_WIRE,
        help="What the TVs speak: protobuf with codes and bundles, as TVs should, or "
        "JSON with vectors in full, to measure against (%(default)s).",
    )
    group.add_argument(
        "--bundle-key",
        type=_public_key,
        action="append",
        default=[],
        dest="bundle_keys",
        metavar="HEX",
        help="A public key to trust, as 'manage.py bundle_key show' prints it; may be "
        "repeated. Default: the keys that the first manifest names.",
    )
    group.add_argument(
        "--threads",
        type=_at_least_one,
        default=8,
        metavar="N",
        help="How many TVs talk at the same time (%(default)s).",
    )


def _add_lift_arguments(parser: CommandParser) -> None:
    group = parser.add_argument_group("a real data set")
    group.add_argument(
        "--movielens",
        type=Path,
        metavar="DIR",
        help="Let the users of a MovieLens folder be the TVs: ratings.csv, movies.csv "
        "and embeddings.npy, row i for row i of movies.csv.",
    )
    group.add_argument(
        "--lift",
        action="store_true",
        dest="measures_lift",
        help="Hold back the last fifth of every user's ratings, run a federation round "
        "and measure how well those are found (NDCG@10).",
    )
    group.add_argument(
        "--rehearse",
        action="store_true",
        dest="is_rehearsal",
        help="Measure inside the first four fifths instead: for choosing parameters "
        "without having seen what is held back.",
    )
    group.add_argument(
        "--round-command",
        metavar="COMMAND",
        help="What runs the round. Default: 'manage.py federate --json'.",
    )
    group.add_argument(
        "--no-round",
        action="store_true",
        help="Run no round: wait for the one that is scheduled.",
    )


def _options(
    *,
    url: str | None,
    enrolment_key: str | None,
    enrolment_key_file: Path | None,
    movielens: Path | None,
    measures_lift: bool,
    is_rehearsal: bool,
    is_endless: bool,
    round_command: str | None,
    no_round: bool,
    regions: str,
    tvs: int | None,
    syncs: int,
    seed: int,
    state: Path | None,
    leaves: bool,
    pace: float,
    threads: int,
    wire: str,
    bundle_keys: list[bytes],
    **_django_options: Any,
) -> Options:
    if measures_lift and movielens is None:
        raise CommandError("--lift measures with real viewers: add --movielens DIR.")
    if is_rehearsal and not measures_lift:
        raise CommandError("--rehearse is a way of measuring: add --lift.")
    if is_endless and movielens is not None:
        raise CommandError("--forever is for the synthetic fleet: a data set ends.")
    if movielens is not None and state is not None:
        raise CommandError("--state keeps the synthetic fleet: leave --movielens out.")

    return Options(
        server=url or _default_url(),
        enrolment_key=enrolment_key or _enrolment_key(enrolment_key_file),
        tvs=tvs,
        syncs=syncs,
        seed=seed,
        regions=tuple(r.strip() for r in regions.split(",") if r.strip()),
        threads=threads,
        wire=wire,
        bundle_keys=tuple(bundle_keys),
        state=state,
        leaves=leaves,
        movielens=movielens,
        measures_lift=measures_lift,
        is_rehearsal=is_rehearsal,
        round_command=None if no_round else _round_command(round_command),
        is_endless=is_endless,
        pace=pace,
    )


def _default_url() -> str:
    host, _, port = settings.REST_ADDR.rpartition(":")
    # Listening everywhere includes here.
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def _enrolment_key(file: Path | None) -> str:
    if file is None and (key := os.environ.get(KEY_VARIABLE)):
        return key

    kept = file or Path(settings.CONSTELLATION_HOME) / KEY_FILE_NAME
    try:
        return kept.read_text().strip()
    except OSError as exc:
        raise CommandError(
            f"No enrolment key: {kept} can't be read ({exc.strerror}). Get one with "
            "'manage.py enrolment_batch create NAME' and give it with --enrolment-key "
            f"or in {KEY_VARIABLE}."
        ) from exc


def _round_command(command: str | None) -> tuple[str, ...]:
    if command is not None:
        return tuple(shlex.split(command))
    manage = Path(settings.BASE_DIR) / "manage.py"
    return (sys.executable, str(manage), "federate", "--json")


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        # In a thread: the interrupted one may hold the event's lock at this moment,
        # in a wait or in the handler of the signal before.
        threading.Thread(target=stop.set, daemon=True).start()

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _error_lines(report: Report) -> list[str]:
    tally = report.tally
    return [
        f"{count} × {code}: {tally.examples[code]}"
        for code, count in tally.errors.most_common()
    ]


def _lines(report: Report) -> list[str]:
    facts = report.to_json()
    return [
        f"{name:>18}  {value:.4f}"
        if isinstance(value, float)
        else f"{name:>18}  {value}"
        for name, value in facts.items()
    ]


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise ValueError(text)
    return number


def _public_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError(text)
    return key

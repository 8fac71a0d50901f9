"""A whole fleet against a running server: synthetic or MovieLens, once or for ever."""

from __future__ import annotations

import heapq
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4, uuid5

import httpx

from fleet import movielens, parallel, rounds, trial
from fleet.backoff import Backoff
from fleet.brain import Viewing
from fleet.bundles import Library
from fleet.client import DEFAULT_NEXT_SYNC_SECONDS, DEFAULT_WIRE, Client, SyncResult
from fleet.dictionary import Dictionary
from fleet.door import ServerInfo, ask_info, open_pool
from fleet.errors import FleetError
from fleet.movielens import Split
from fleet.outbox import Outbox
from fleet.ranking import Catalogue
from fleet.synthetic import Plan, SyntheticFleet
from fleet.tally import Tally
from fleet.television import Habits, Television, outbox_at
from fleet.trial import Contestant, Lift

DEFAULT_TVS = 500
DEFAULT_SYNCS = 3

#: Patient enough for a restart of the server, not for an outage.
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 15.0
BACKOFF_ATTEMPTS = 7

#: Below the folder that TVs are kept in.
BUNDLES_FOLDER = "bundles"

#: Enough for every pattern of a TV, one at a time; a server may never be content.
SETTLING_SYNCS = 300

#: A web process may answer from the publication before the last for some seconds.
FRESH_ANSWER_ATTEMPTS = 30
FRESH_ANSWER_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Options:
    server: str
    enrolment_key: str
    #: None: 500, or every user of a data set.
    tvs: int | None = None
    syncs: int = DEFAULT_SYNCS
    seed: int = 0
    regions: tuple[str, ...] = ()
    threads: int = 8
    #: Keeps the TVs between runs; None makes new ones, for this run only.
    state: Path | None = None
    #: Every TV has the server forget it in the end.
    leaves: bool = False
    #: One of ``client.WIRES``.
    wire: str = DEFAULT_WIRE
    #: Public keys of bundles, 32 bytes each; none: those of the first manifest.
    bundle_keys: tuple[bytes, ...] = ()

    movielens: Path | None = None
    measures_lift: bool = False
    is_rehearsal: bool = False
    #: None waits for a round that someone else runs.
    round_command: tuple[str, ...] | None = None

    is_endless: bool = False
    #: A TV waits so many times what the server asks for.
    pace: float = 1.0


class Progress(Protocol):
    """Shows how far a fleet is."""

    def say(self, sentence: str) -> None: ...

    def begin(self, what: str, total: int | None) -> None: ...

    def advance(self) -> None: ...


class Silence:
    """The progress of a fleet that nobody watches."""

    def say(self, sentence: str) -> None: ...

    def begin(self, what: str, total: int | None) -> None: ...

    def advance(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Report:
    tvs: int
    wire: str
    tally: Tally
    lift: Lift | None = None

    @property
    def errors(self) -> int:
        return self.tally.error_count

    def to_json(self) -> dict[str, Any]:
        tally = self.tally
        counts: dict[str, Any] = {
            "tvs": self.tvs,
            "wire": self.wire,
            "syncs": tally.sync_count,
            "errors": self.errors,
            "bytes_up_p50": tally.bytes_up(50),
            "bytes_up_p99": tally.bytes_up(99),
            "bytes_down_p50": tally.bytes_down(50),
            "bytes_down_p99": tally.bytes_down(99),
        }
        return counts | (asdict(self.lift) if self.lift else {})


@dataclass(kw_only=True)
class _Run:
    """What the parts of one run share."""

    options: Options
    http: httpx.Client
    info: ServerInfo
    progress: Progress
    stop: threading.Event
    tally: Tally = field(default_factory=Tally)

    def for_each(
        self, what: str, tvs: Sequence[Television], work: Callable[[Television], Any]
    ) -> None:
        """Do something with every TV, counting those that fail and going on."""
        self.progress.begin(what, len(tvs))

        def guarded(tv: Television) -> None:
            try:
                work(tv)
            except FleetError as error:
                self.tally.failed(error)
            self.progress.advance()

        parallel.for_each(tvs, guarded, threads=self.options.threads, stop=self.stop)

    def pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise parallel.Stopped

    def counted(self, result: SyncResult) -> None:
        self.tally.confirmed(result)


def run(
    options: Options,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Report:
    """Simulate a fleet, and report.

    Raises FleetError when there is no server to talk to or no round to hear from,
    DatasetError when the data set isn't one. What goes wrong for single TVs is
    counted in the report. Once ``stop`` is set, it ends within seconds and reports
    what was done so far.
    """
    progress = progress or Silence()
    stop = stop or threading.Event()
    with open_pool(connections=options.threads) as http:
        info = ask_info(http, options.server)
        progress.say(_introduction(options, info))
        simulation = _Run(
            options=options, http=http, info=info, progress=progress, stop=stop
        )
        if options.movielens is not None:
            return _run_movielens(simulation, movielens.read(options.movielens))
        return _run_synthetic(simulation)


def _introduction(options: Options, info: ServerInfo) -> str:
    threshold = info.min_devices_per_pattern
    backing = (
        "" if threshold is None else f", which publishes what {threshold} TVs share"
    )
    return f"A fleet for {options.server}{backing}."


def _run_synthetic(simulation: _Run) -> Report:
    options = simulation.options
    count = options.tvs or DEFAULT_TVS
    regions = options.regions or ("global",)
    fleet = SyntheticFleet(Plan(seed=options.seed, households=count, regions=regions))

    def habits(household: int) -> Habits:
        return lambda round_number: fleet.viewings(household, round_number)

    tvs = _televisions(simulation, [habits(household) for household in range(count)])
    if options.is_endless:
        _live_for_ever(simulation, tvs)
    else:
        _live_rounds(simulation, tvs)
    _leave(simulation, tvs)
    return Report(tvs=count, wire=options.wire, tally=simulation.tally)


def _run_movielens(simulation: _Run, dataset: movielens.Dataset) -> Report:
    options = simulation.options
    splits = movielens.splits(dataset, is_rehearsal=options.is_rehearsal)
    splits = splits[: options.tvs]
    past = [
        split.learned if options.measures_lift else user.viewings
        for split, user in zip(splits, dataset.users, strict=False)
    ]
    tvs = _televisions(simulation, [_portions(p, options.syncs) for p in past])
    _live_rounds(simulation, tvs)
    measured = None
    if options.measures_lift and not simulation.stop.is_set():
        measured = _measure(simulation, tvs, splits, dataset.catalogue)
    _leave(simulation, tvs)
    return Report(
        tvs=len(tvs), wire=options.wire, tally=simulation.tally, lift=measured
    )


def _televisions(simulation: _Run, habits: Sequence[Habits]) -> list[Television]:
    options = simulation.options
    run_id = _run_id(options.state)
    library = Library(
        options.bundle_keys, options.state and options.state / BUNDLES_FOLDER
    )
    rng = random.Random(run_id.int ^ options.seed)

    def television(number: int, habit: Habits) -> Television:
        path = options.state and options.state / f"tv-{number:06}.json"
        device_id = uuid5(run_id, f"seed {options.seed} TV {number}")
        client = Client(
            server=options.server,
            enrolment_key=options.enrolment_key,
            outbox=outbox_at(path, fresh=lambda: Outbox(device_id=device_id)),
            http=simulation.http,
            wire=options.wire,
            dictionary=Dictionary(library),
            on_trouble=simulation.tally.failed,
            region=options.regions[number % len(options.regions)]
            if options.regions
            else None,
            backoff=Backoff(
                base_seconds=BACKOFF_BASE_SECONDS,
                cap_seconds=BACKOFF_CAP_SECONDS,
                attempts=BACKOFF_ATTEMPTS,
                rng=random.Random(rng.random()),
            ),
            state_path=path,
            patterns_per_sync=simulation.info.patterns_per_sync,
            pause=simulation.pause,
        )
        return Television(client=client, habits=habit)

    simulation.progress.begin("Switching TVs on", len(habits))
    tvs = []
    for number, habit in enumerate(habits):
        tvs.append(television(number, habit))
        simulation.progress.advance()
    return tvs


def _run_id(state: Path | None) -> UUID:
    """Return what makes this run's TVs other TVs than another run's."""
    if state is None:
        return uuid4()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = state / "fleet.json"
    if not file.exists():
        file.write_text(json.dumps({"run_id": str(uuid4())}))
    return UUID(json.loads(file.read_text())["run_id"])


def _portions(viewings: Sequence[Viewing], syncs: int) -> Habits:
    """Spread a past evenly over so many rounds."""

    def portion(round_number: int) -> Sequence[Viewing]:
        first, last = (
            len(viewings) * n // syncs for n in (round_number, round_number + 1)
        )
        return viewings[first:last]

    return portion


def _live_rounds(simulation: _Run, tvs: Sequence[Television]) -> None:
    syncs = simulation.options.syncs
    for number in range(1, syncs + 1):
        simulation.for_each(
            f"Sync {number} of {syncs}",
            tvs,
            lambda tv: simulation.counted(tv.live_a_round()),
        )
    behind = [tv for tv in tvs if tv.owes]
    if behind and not simulation.stop.is_set():
        simulation.for_each(
            "Telling the rest", behind, lambda tv: _settle(simulation, tv)
        )


def _settle(simulation: _Run, tv: Television) -> None:
    """Sync until nothing is owed: a delta carries only so many patterns."""
    for _ in range(SETTLING_SYNCS):
        if not tv.owes:
            return
        simulation.counted(tv.sync())
    raise FleetError(
        f"TV {tv.client.outbox.device_id} still owes something after "
        f"{SETTLING_SYNCS} more syncs.",
        code="never_settled",
    )


def _live_for_ever(simulation: _Run, tvs: Sequence[Television]) -> None:
    """Have every TV sync when the server asked it to, until stopped."""
    threads = min(simulation.options.threads, len(tvs))
    simulation.progress.begin("Syncing", None)
    workers = [_endless(simulation, tvs[i::threads], seed=i) for i in range(threads)]
    parallel.run_all(workers, stop=simulation.stop)


def _endless(
    simulation: _Run, tvs: Sequence[Television], *, seed: int
) -> Callable[[], None]:
    pace = simulation.options.pace
    rng = random.Random(simulation.options.seed * 1_000 + seed)

    def worker() -> None:
        begun = time.monotonic()
        # Spread from the start: nobody switches a whole fleet on in one second.
        due = [
            (begun + rng.uniform(0, DEFAULT_NEXT_SYNC_SECONDS) * pace, i)
            for i in range(len(tvs))
        ]
        heapq.heapify(due)
        while True:
            at, i = due[0]
            simulation.pause(max(0.0, at - time.monotonic()))
            try:
                simulation.counted(tvs[i].live_a_round())
            except FleetError as error:
                simulation.tally.failed(error)
            simulation.progress.advance()
            wait = tvs[i].client.next_sync_seconds * pace
            heapq.heapreplace(due, (time.monotonic() + wait, i))

    return worker


def _measure(
    simulation: _Run,
    tvs: Sequence[Television],
    splits: Sequence[Split],
    catalogue: Catalogue,
) -> Lift:
    before = ask_info(simulation.http, simulation.options.server).global_version
    _have_a_round(simulation, above=before)
    simulation.for_each(
        "Hearing what the fleet learned", tvs, lambda tv: _hear(simulation, tv, before)
    )

    contestants = [
        Contestant(split, tv.brain, tv.client.received)
        for split, tv in zip(splits, tvs, strict=True)
    ]
    scored = sum(split.is_scored for split in splits)
    simulation.progress.begin("Grading", scored)
    return trial.grade(contestants, catalogue, advance=simulation.progress.advance)


def _have_a_round(simulation: _Run, *, above: int) -> None:
    options = simulation.options
    if options.round_command is None:
        simulation.progress.begin("Waiting for a federation round", None)
    else:
        simulation.progress.begin("Running a federation round", None)
        rounds.run(options.round_command, pause=simulation.pause)
    rounds.wait_for(
        simulation.http, options.server, above=above, pause=simulation.pause
    )


def _hear(simulation: _Run, tv: Television, before: int) -> None:
    """Sync until the answer is of the new round."""
    for _ in range(FRESH_ANSWER_ATTEMPTS):
        simulation.counted(tv.sync())
        if (tv.client.received.global_version or 0) > before:
            return
        simulation.pause(FRESH_ANSWER_SECONDS)
    raise FleetError(
        f"TV {tv.client.outbox.device_id} is still answered with version {before}.",
        code="old_answer",
    )


def _leave(simulation: _Run, tvs: Sequence[Television]) -> None:
    if simulation.options.leaves:
        simulation.for_each("Leaving", tvs, lambda tv: tv.client.leave())

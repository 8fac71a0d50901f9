"""Syncs of a whole shard against pgbench, a straightforward server, and limits.

It fills a database of its own and serves it by `manage.py up`; at the end nothing of it
is left. The exit status is 1 if a limit is missed, 2 if something went wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.installation import InstallationError
from benchmarks.sync import herd, report
from benchmarks.sync.contenders import open_contenders
from benchmarks.sync.filling import NoRoom
from benchmarks.sync.flower import FlowerError
from benchmarks.sync.generator import GeneratorError
from benchmarks.sync.hnsw import NoIndex
from benchmarks.sync.machine import MachineError, open_machine
from benchmarks.sync.measuring import Bench, Plan
from benchmarks.sync.progress import Progress
from benchmarks.sync.tvs import Population
from constellation_site.embedded import EmbeddedPostgresError

DEVICES = 4_000_000
PATTERNS = 20_000_000

#: What growth is held against.
SMALL_DEVICES = 60_000
SMALL_PATTERNS = 200_000

#: One TV in so many has never synced.
NEW_ONE_IN = 20
#: What a benchmark needs of them.
NEW_LEAST = 20_000

CELLS = 4_096
QUICK_CELLS = 512
QUICK_DEVICES = 40_000
QUICK_PATTERNS = 100_000
QUICK_NEW = 10_000
QUICK_SECONDS = 1.5


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = Progress()
    started = time.monotonic()
    try:
        found = _measure(options, progress)
    except KeyboardInterrupt:
        progress.say("Stopped before there was anything to report.")
        return 130
    except (
        *(MachineError, NoRoom, GeneratorError, InstallationError),
        *(NoIndex, FlowerError, EmbeddedPostgresError),
    ) as exc:
        progress.say(str(exc))
        return 2
    found["seconds"] = time.monotonic() - started
    whole = report.whole(found)
    print(json.dumps(whole) if options.json else "\n".join(report.lines(whole)))
    return 1 if whole["limits_missed"] else 0


def _measure(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    populations = _populations(options)
    plan = Plan(
        repeats=options.repeats,
        seconds=QUICK_SECONDS if options.quick else options.seconds,
        open_seconds=options.open_seconds,
        full_shard=0,
        small_shard=len(populations) - 1,
        is_quick=options.quick,
    )
    cells = QUICK_CELLS if options.quick else CELLS
    with open_machine(
        populations, cells=cells, keep=options.keep, progress=progress
    ) as machine:
        progress.say("starting servers")
        with open_contenders(machine, naive_shard=plan.small_shard) as contenders:
            bench = Bench(machine, contenders, plan, progress)
            found = {
                "devices": populations[0].devices,
                "patterns": populations[0].patterns,
                "cells": cells,
                **bench.beside_peers(),
            }
            if not options.quick:
                found |= _at_length(bench, found)
    if not options.quick:
        progress.say("the herd")
        capacity = round(found["syncs_per_second"])
        found |= herd.measured(tvs=found["devices"], capacity=capacity)
    return found


def _at_length(bench: Bench, found: dict[str, Any]) -> dict[str, Any]:
    capacity = found["syncs_per_second"]
    return {
        **bench.at_hourly_load(),
        **bench.growth(capacity),
        **bench.with_news(capacity),
        **bench.overloaded(capacity),
        **bench.stats(),
        **bench.similar(),
        **bench.flower(capacity),
    }


def _populations(options: argparse.Namespace) -> list[Population]:
    if options.quick:
        return [_population(0, QUICK_DEVICES, QUICK_PATTERNS, QUICK_NEW)]
    new = max(NEW_LEAST, options.devices // NEW_ONE_IN)
    return [
        _population(0, options.devices, options.patterns, new),
        _population(1, SMALL_DEVICES, SMALL_PATTERNS, NEW_LEAST),
    ]


def _population(shard_id: int, devices: int, patterns: int, new: int) -> Population:
    return Population(
        shard_id=shard_id, returning=devices - new, new=new, patterns=patterns
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.sync", description=__doc__)
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="Only what stands beside peers, on a small shard.",
    )
    parser.add_argument(
        "--devices", type=int, default=DEVICES, metavar="N", help="TVs of the shard."
    )
    parser.add_argument(
        "--patterns", type=int, default=PATTERNS, metavar="M", help="Its patterns."
    )
    parser.add_argument("--repeats", type=int, default=3, help="Medians of so many.")
    parser.add_argument(
        "--seconds", type=float, default=10, help="Of each run at capacity."
    )
    parser.add_argument(
        "--open-seconds", type=float, default=20, help="Of each run at a given rate."
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="Keep the filled databases there, and take them from there again.",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""The wire against its limits: bytes, cosines, lift and cost of a sync.

Real installations, real TVs, both fleets: the synthetic one, and MovieLens if there is
a folder. The exit status is 1 if a limit is missed, 2 if something went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from benchmarks.installation import InstallationError
from benchmarks.wire import households, report
from benchmarks.wire.measuring import Figures, Say, measure
from fleet.errors import FleetError
from fleet.movielens import DatasetError

FOLDER_VARIABLE = "CONSTELLATION_MOVIELENS_DIR"

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    options = _options()
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    started = time.monotonic()
    try:
        fleets = _measure(options.movielens)
    except KeyboardInterrupt:
        _progress("Stopped before there was anything to report.")
        return 130
    except (InstallationError, FleetError, DatasetError) as exc:
        _progress(str(exc))
        return 2
    whole = report.of_fleets(fleets)
    whole["seconds"] = time.monotonic() - started
    if options.json:
        print(json.dumps(whole))
    else:
        print("\n".join(report.lines(whole)))
    return 1 if whole["limits_missed"] else 0


def _measure(folder: Path | None) -> dict[str, Figures]:
    fleets = [households.synthetic()]
    if folder is None:
        _progress(
            f"Without --movielens or {FOLDER_VARIABLE}: the synthetic fleet alone, "
            "and no lift."
        )
    else:
        fleets.append(households.of_movielens(folder))
    return {fleet.name: measure(fleet, say=_saying(fleet.name)) for fleet in fleets}


def _saying(name: str) -> Say:
    started = time.monotonic()
    return lambda line: _progress(
        f"{name}, {time.monotonic() - started:3.0f} s: {line}"
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: what then takes its time is ending what was started.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    folder = os.environ.get(FOLDER_VARIABLE)
    parser = argparse.ArgumentParser(prog="benchmarks.wire", description=__doc__)
    parser.add_argument(
        "--movielens",
        type=Path,
        metavar="DIR",
        default=Path(folder) if folder else None,
        help=f"A MovieLens folder, as 'simulate' takes it (${FOLDER_VARIABLE}).",
    )
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

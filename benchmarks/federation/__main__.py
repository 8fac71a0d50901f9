"""The readings of a round against COPY, sgemm and the clock, for growing shards.

The exit status is 1 if a limit is missed, 2 if something went wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.federation import assignment, report
from benchmarks.federation.shard import BenchmarkError, BenchmarkShard, open_shard
from constellation_site.embedded import EmbeddedPostgresError

SIZES = (1_000_000, 2_000_000, 5_000_000)
VECTORS = 16_384

#: So many rows are read by turns for each size; all sizes together take a quarter of an
#: hour on two cores.
ROWS_BY_TURNS = 4_000_000

#: For those who only want to see it run.
QUICK_SIZES = (20_000, 40_000)
QUICK_VECTORS = 2_048


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        found = _measure(
            sorted(options.patterns), vectors=options.vectors, repeats=options.repeats
        )
    except KeyboardInterrupt:
        _progress("Stopped before there was anything to report.")
        return 130
    except (BenchmarkError, EmbeddedPostgresError) as exc:
        _progress(str(exc))
        return 2
    found["seconds"] = time.monotonic() - started
    print(json.dumps(found) if options.json else "\n".join(report.lines(found)))
    return 1 if found["limits_missed"] else 0


def _measure(sizes: Sequence[int], *, vectors: int, repeats: int) -> dict[str, Any]:
    _progress("assignment")
    assigned = assignment.measure(n_vectors=vectors, repeats=repeats)
    with open_shard() as shard, tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan"
        figures = [_of_size(shard, size, plan, repeats) for size in sizes]
        _progress("merging")
        merged = shard.measure("merging", plan, shard.pattern_count)
    return report.whole(figures, assigned, merged)


def _of_size(
    shard: BenchmarkShard, size: int, plan: Path, repeats: int
) -> dict[str, Any]:
    _progress(f"{size:,} patterns: filling")
    shard.grow_to(size)
    _progress(f"{size:,} patterns: first reading")
    found = shard.measure("first-reading", plan)
    _progress(f"{size:,} patterns: COPY and collect, by turns")
    found |= shard.measure("beside-copy", plan, _turns(size, repeats))
    _progress(f"{size:,} patterns: collect with assignment")
    found |= shard.measure("whole", plan)
    return report.of_size(shard.pattern_count, found)


def _turns(size: int, repeats: int) -> int:
    """Fewer for large shards: their runs are long enough to be even in themselves."""
    return max(1, min(repeats, ROWS_BY_TURNS // size))


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.federation", description=__doc__)
    parser.add_argument(
        "--patterns", type=int, nargs="+", metavar="N", help="Sizes of the shard."
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="Medians of so many, at most."
    )
    parser.add_argument("--quick", action="store_true", help="Only to see it run.")
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    options = parser.parse_args()
    options.vectors = QUICK_VECTORS if options.quick else VECTORS
    options.patterns = options.patterns or (QUICK_SIZES if options.quick else SIZES)
    options.repeats = 1 if options.quick else options.repeats
    return options


if __name__ == "__main__":
    sys.exit(main())

"""Hold rounds twice, once with kills, and compare: ``python -m tests.chaos``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

import django
from django.core.management import call_command

from tests.chaos.installation import Installation

if TYPE_CHECKING:
    from tests.chaos.rounds import Disturbed

#: A round is finished or abandoned this long after the last kill.
RECOVERY_SECONDS = 60.0


def main() -> int:
    options = _options()
    # Being told to end is being interrupted: what was started is still ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    installation = Installation(is_patient=options.hurried)
    try:
        os.environ.update(installation.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "constellation_site.settings"
        django.setup()
        return _hold(installation, options)
    except BaseException:
        sys.stdout.write(installation.log.read_text()[-20_000:])
        raise
    finally:
        installation.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--hurried",
        action="store_true",
        help="Nobody waits for leases of the dead, databases may be away for as long "
        "as they like, and nothing is timed: for tests on slow machines.",
    )
    return parser.parse_args()


def _hold(installation: Installation, options: argparse.Namespace) -> int:
    from django.db import connections

    from tests.chaos.rounds import Chaos, say

    for alias in connections:
        call_command("migrate", database=alias, verbosity=0)
    chaos = Chaos(
        installation,
        seed=options.seed,
        rounds=options.rounds,
        is_hurried=options.hurried,
    )
    expected, held = chaos.undisturbed(), chaos.disturbed()
    wrong = _wrong(expected, held)
    say(_summary(held, wrong))
    slowest = max(one.recovery_seconds for one in held)
    is_slow = slowest > RECOVERY_SECONDS and not options.hurried
    return 1 if wrong or is_slow else 0


def _wrong(expected: list[str], held: list[Disturbed]) -> list[int]:
    """The rounds that didn't give what they give undisturbed, by number."""
    return [
        number
        for number, (checksum, one) in enumerate(
            zip(expected, held, strict=True), start=1
        )
        if one.told.checksum != checksum
        or one.told.status not in ("published", "partial")
    ]


def _summary(held: list[Disturbed], wrong: list[int]) -> str:
    kills = sum(len(one.kills) for one in held)
    taken = sum(one.told.term > 1 for one in held)
    partial = sum(one.told.status == "partial" for one in held)
    slowest = max(one.recovery_seconds for one in held)
    said = (
        f"{len(held)} rounds, {kills} kills: {len(held) - len(wrong)} checksums as "
        f"undisturbed, {taken} rounds taken over, {partial} partial; the slowest was "
        f"over {slowest:.1f} s after its last kill (limit {RECOVERY_SECONDS:.0f} s)"
    )
    if wrong:
        said += f"\nDifferent: rounds {', '.join(map(str, wrong))}"
    return said


if __name__ == "__main__":
    sys.exit(main())

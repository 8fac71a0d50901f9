"""Having a federation round happen, as an operator would, and hearing when it did."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence

import httpx

from fleet.client import FleetError
from fleet.door import ask_info

#: Another round may be running; it ends, and then ours may begin.
COMMAND_ATTEMPTS = 3
COMMAND_RETRY_SECONDS = 5.0

POLL_SECONDS = 2.0

#: How long to wait for a scheduled round: so many intervals, and at least this long.
PATIENCE_INTERVALS = 2.0
PATIENCE_AT_LEAST_SECONDS = 60.0

#: Of a server that doesn't tell its interval.
DEFAULT_INTERVAL_SECONDS = 3600.0

MESSAGE_LENGTH = 2000


def run(command: Sequence[str], *, pause: Callable[[float], None]) -> None:
    """Run the operator's command for one round."""
    for attempt in range(1, COMMAND_ATTEMPTS + 1):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if attempt < COMMAND_ATTEMPTS:
            pause(COMMAND_RETRY_SECONDS)
    said = (done.stderr.strip() or done.stdout.strip())[-MESSAGE_LENGTH:]
    raise FleetError(
        f"The round failed: {' '.join(command)} ended with {done.returncode}: {said}",
        code="round_failed",
    )


def wait_for(
    http: httpx.Client, server: str, *, above: int, pause: Callable[[float], None]
) -> None:
    """Wait until the server publishes something newer than version ``above``."""
    info = ask_info(http, server)
    interval = info.interval_seconds or DEFAULT_INTERVAL_SECONDS
    patience = max(PATIENCE_AT_LEAST_SECONDS, interval * PATIENCE_INTERVALS)
    deadline = time.monotonic() + patience
    while info.global_version <= above:
        if time.monotonic() > deadline:
            raise FleetError(
                f"Nothing newer than version {above} was published within "
                f"{patience:.0f} s. Run 'manage.py federate', or leave --no-round out.",
                code="no_round",
            )
        pause(POLL_SECONDS)
        info = ask_info(http, server)

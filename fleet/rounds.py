"""Having a federation round happen, as an operator would, and hearing when it did."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx

from fleet.door import ask_info
from fleet.errors import FleetError

#: Another round may be running; it ends, and then ours may begin.
COMMAND_ATTEMPTS = 3
COMMAND_RETRY_SECONDS = 5.0
COMMAND_POLL_SECONDS = 0.2

#: How long a round that isn't wanted any more may take to end by itself.
COMMAND_GRACE_SECONDS = 2.0

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
        status, said = _run_once(command, pause)
        if status == 0:
            return
        if attempt < COMMAND_ATTEMPTS:
            pause(COMMAND_RETRY_SECONDS)
    raise FleetError(
        f"The round failed: {' '.join(command)} ended with {status}: {said}",
        code="round_failed",
    )


def _run_once(
    command: Sequence[str], pause: Callable[[float], None]
) -> tuple[int, str]:
    """Return the command's exit status and what it said; a pause may end it early."""
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as exc:
        raise FleetError(
            f"The round failed: {' '.join(command)} can't be run: {exc.strerror}",
            code="round_failed",
        ) from exc
    while True:
        try:
            output, errors = process.communicate(timeout=COMMAND_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            _pause_or_end(process, pause)
        else:
            break
    return process.returncode, (errors.strip() or output.strip())[-MESSAGE_LENGTH:]


def _pause_or_end(
    process: subprocess.Popen[str], pause: Callable[[float], None]
) -> None:
    try:
        pause(0)
    except BaseException:
        process.terminate()
        # A round that is publishing finishes that, with or without us.
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=COMMAND_GRACE_SECONDS)
        raise


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

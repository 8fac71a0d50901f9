"""How long processes of a chaos run wait for a database that was killed."""

from __future__ import annotations

import os

#: Of the environment: whether the machine may be so slow that usual pauses are short.
PATIENCE = "CHAOS_PATIENCE"

PAUSES_SECONDS = (1,) * 600


def take() -> None:
    """Wait for as long as it takes, if this process is told to."""
    if not os.environ.get(PATIENCE):
        return
    from federation import units

    units.PAUSES_SECONDS = PAUSES_SECONDS  # type: ignore[assignment]
    units.MAX_ATTEMPTS = len(PAUSES_SECONDS) + 1

"""How long a TV waits before it tries again.

The danger is a herd: a shard that comes back after an outage meets millions of TVs
that failed in the same second. So every wait is random over its whole range, the
range doubles up to a cap, and a server that says when to come back is never asked
earlier than that. A TV that hears nothing gives up after a few tries and comes back at
the pace that it was told last: it was set so that the server can answer them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

#: A server may ask for hours of patience; a nonsensical header must not mean forever.
LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0

#: How far waits that the server asked for are spread, as a share of the wait and at
#: most: servers spread them too, and keep places free.
RETRY_AFTER_SPREAD_FRACTION = 0.25
LONGEST_RETRY_AFTER_SPREAD_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Backoff:
    base_seconds: float = 1.0
    cap_seconds: float = 3600.0
    #: Tries in all, the first one included.
    attempts: int = 4
    rng: Random = field(default_factory=Random)

    def wait_seconds(self, failures: int, *, retry_after: str | None) -> float:
        """Return the wait after so many failures in a row (at least one)."""
        asked = retry_after_seconds(retry_after)
        if asked is not None:
            spread = min(
                asked * RETRY_AFTER_SPREAD_FRACTION, LONGEST_RETRY_AFTER_SPREAD_SECONDS
            )
            return asked + self.rng.uniform(0, max(self.base_seconds, spread))

        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** (failures - 1))
        return self.rng.uniform(0, longest)

    def next_sync_seconds(self, pace_seconds: float) -> float:
        """Return the wait after giving up; ``pace_seconds`` was told last.

        Not earlier than that, and up to twice: those that gave up together must not
        come back together, nor beside those that come at their pace.
        """
        return self.rng.uniform(1, 2) * pace_seconds


def retry_after_seconds(header: str | None) -> float | None:
    """Read a Retry-After header, in seconds or as a date; None if it says nothing."""
    if header is None:
        return None
    header = header.strip()
    if header.isdecimal():
        return min(float(header), LONGEST_RETRY_AFTER_SECONDS)

    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)

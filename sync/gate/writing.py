"""A web process writes refusals for the gate before it."""

from __future__ import annotations

import orjson

from sync import exchange, load, metrics
from sync.gate.refusals import MOST_STOCK, ORDER


def refusals(order: bytes) -> bytes:
    """Write as many as were ordered, and count them."""
    count = min(int(order.removeprefix(ORDER)), MOST_STOCK)
    metrics.record_sent_away(count)
    template = exchange.overloaded()
    return orjson.dumps(
        {
            "status": template.status.value,
            "headers": template.headers,
            "body": template.body.decode(),
            "retry_after_seconds": load.pacing.retry_after_seconds_of(count),
        }
    )

"""Turn a database that doesn't answer into the error that callers are told.

Wrap what talks to a database: ``with reaching.shard(shard_id): ...``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError
from django.utils.connection import ConnectionDoesNotExist

from shards.exceptions import ControlUnavailable, ShardUnavailable

#: Spread, so that the TVs of a restarted database don't all come back at once.
RETRY_AFTER_SECONDS = (30, 120)

_UNREACHABLE = (OperationalError, InterfaceError, ConnectionDoesNotExist)


def retry_after_seconds() -> int:
    return random.randint(*RETRY_AFTER_SECONDS)


@contextmanager
def shard(shard_id: int) -> Iterator[None]:
    try:
        yield
    except _UNREACHABLE as exc:
        raise ShardUnavailable(
            shard_id=shard_id, retry_after_seconds=retry_after_seconds()
        ) from exc


@contextmanager
def control() -> Iterator[None]:
    try:
        yield
    except _UNREACHABLE as exc:
        raise ControlUnavailable(retry_after_seconds=retry_after_seconds()) from exc

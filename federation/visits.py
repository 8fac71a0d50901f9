"""Do something with every shard, a few at a time; one shard's trouble is its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import Error, connections
from django.utils.connection import ConnectionDoesNotExist

from shards.databases import shard_alias
from shards.exceptions import ConstellationError

#: Each may hold a sample of up to 200 MiB while it is read.
SHARDS_AT_ONCE = min(4, os.cpu_count() or 1)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Visit(Generic[Value]):
    """What came of one shard: a value, or a problem in one line."""

    shard_id: int
    value: Value | None
    problem: str
    seconds: float


def visits(
    shard_ids: Collection[int], work: Callable[[str], Value]
) -> Generator[Visit[Value], None, None]:
    """Call ``work`` with the alias of each shard, yielding as they get done.

    A database that fails or doesn't answer is a problem of its visit; anything else
    is a bug and raised. Close it (``contextlib.closing``) and no further shard is
    visited: those under way are waited for.
    """
    with ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="shard") as pool:
        try:
            # No list of them: what a shard gave is freed once the caller has it.
            for done in as_completed(
                pool.submit(_visit, shard_id, work) for shard_id in sorted(shard_ids)
            ):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _visit(shard_id: int, work: Callable[[str], Value]) -> Visit[Value]:
    begun = time.monotonic()
    value, problem = None, ""
    try:
        value = work(shard_alias(shard_id))
    except (Error, ConnectionDoesNotExist, ConstellationError) as exc:
        problem = _one_line(exc)
    finally:
        # Connections belong to threads, and this one ends.
        connections.close_all()
    return Visit(shard_id, value, problem, time.monotonic() - begun)


def _one_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0] or type(exc).__name__

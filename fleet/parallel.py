"""Many TVs on a few threads, stopped within seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

#: After a stop, how long requests in flight may take to end by themselves.
STOP_GRACE_SECONDS = 3.0

POLL_SECONDS = 0.2

Item = TypeVar("Item")


class Stopped(Exception):
    """Someone asked the fleet to stop."""


def for_each(
    items: Sequence[Item],
    work: Callable[[Item], None],
    *,
    threads: int,
    stop: threading.Event,
) -> None:
    """Do the work for every item; return early when stopped."""
    waiting: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        waiting.put(item)

    def worker() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except Empty:
                return
            work(item)

    run_all([worker] * min(threads, len(items)), stop=stop)


def run_all(workers: Sequence[Callable[[], None]], *, stop: threading.Event) -> None:
    """Run each worker in a thread until all end or a stop has lasted long enough.

    A worker's exception ends all of them and is raised here.
    """
    failures: list[BaseException] = []

    def guarded(worker: Callable[[], None]) -> None:
        try:
            worker()
        except Stopped:
            pass
        except BaseException as exc:
            failures.append(exc)
            stop.set()

    # Daemons: a request that hangs must not keep the process alive after a stop.
    running = [
        threading.Thread(target=guarded, args=(worker,), daemon=True)
        for worker in workers
    ]
    for thread in running:
        thread.start()
    _join(running, stop)
    if failures:
        raise failures[0]


def _join(running: Sequence[threading.Thread], stop: threading.Event) -> None:
    grace = STOP_GRACE_SECONDS
    for thread in running:
        while thread.is_alive() and grace > 0:
            # In short steps: the main thread has signals to handle.
            thread.join(POLL_SECONDS)
            if stop.is_set():
                grace -= POLL_SECONDS

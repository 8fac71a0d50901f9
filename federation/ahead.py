"""Generators that threads of their own run ahead of who takes from them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Given(Generic[Item]):
    item: Item


def ahead_of(
    sources: Iterable[Callable[[], Generator[Item, None, None]]], *, room: int
) -> Generator[Item, None, None]:
    """Give what all sources give, as it comes; so much of it may wait.

    Each source is made, run and closed in a thread of its own; all are closed before
    this generator is. The first error of any ends it.
    """
    waiting: Queue[_Given[Item] | BaseException | None] = Queue(room)
    is_stopped = Event()

    def run(source: Callable[[], Generator[Item, None, None]]) -> None:
        last: BaseException | None = None
        try:
            with closing(source()) as given:
                for item in given:
                    waiting.put(_Given(item))
                    if is_stopped.is_set():
                        return
        except BaseException as exc:
            last = exc
        waiting.put(last)

    threads = [
        Thread(target=run, args=[source], name="ahead", daemon=True)
        for source in sources
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            while isinstance(given := waiting.get(), _Given):
                yield given.item
            if given is not None:
                raise given
    finally:
        is_stopped.set()
        for thread in threads:
            while thread.is_alive():
                with suppress(Empty):  # so that it doesn't wait for room
                    waiting.get(timeout=0.01)
            thread.join()

"""What a benchmark says meanwhile, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """Lines with the seconds since the start, and bars for long work."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._started = time.monotonic()

    def say(self, line: str) -> None:
        self._console.print(f"{time.monotonic() - self._started:5.0f} s: {line}")

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show how far something is; told by how much it has advanced."""
        self.say(label)
        columns = TextColumn("       "), BarColumn(), MofNCompleteColumn()
        with Bars(
            *columns, TimeElapsedColumn(), console=self._console, transient=True
        ) as bars:
            task = bars.add_task(label, total=total)
            yield lambda count: bars.advance(task, count)

"""What the operator sees: steps of `up`, and lines of its processes by name."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Protocol

NAME_WIDTH = 10

# Dim, and no red: red is for what is wrong.
COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[34m", "\x1b[32m")
RESET = "\x1b[0m"


class Stream(Protocol):
    def write(self, text: str) -> object: ...
    def flush(self) -> object: ...
    def isatty(self) -> bool: ...


class Terminal:
    """Whole lines only, however many threads write."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._is_hushed = False
        self._colours = itertools.cycle(COLOURS)
        self._colour_of: dict[str, str] = {}

    def say(self, text: str = "") -> None:
        """A step or a message of `up` itself."""
        self._write(text)

    def relay(self, name: str, line: str) -> None:
        """A line that a process has written."""
        if line and not self._is_hushed:
            self._write(f"{self._label(name)} {line}")

    def hush(self) -> None:
        """Relay no more: what processes say when told to end is of no use."""
        self._is_hushed = True

    def _label(self, name: str) -> str:
        label = f"{name:<{NAME_WIDTH}}|"
        if not self._stream.isatty():
            return label
        if name not in self._colour_of:
            self._colour_of[name] = next(self._colours)
        return f"{self._colour_of[name]}{label}{RESET}"

    def _write(self, line: str) -> None:
        # Suppressed: the terminal may be gone before the processes are stopped.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

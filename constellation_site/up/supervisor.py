"""Child processes: started, relayed, restarted within bounds, and ended in order.

No child outlives `up`. Asked to stop, it is given time, and then killed with all it
has started. If `up` itself is killed, the kernel tells the children (`parent_death`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO

from constellation_site.parent_death import end_with_parent
from constellation_site.up.errors import UpError
from constellation_site.up.terminal import Terminal

TICK_SECONDS = 0.1
#: Requests or a step of a round in flight may finish; then it is over.
GRACE = timedelta(seconds=20)
RESTART_DELAYS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
#: Who has run for this long starts with a clean record.
PROBATION = timedelta(minutes=5)
REMEMBERED_LINES = 15


@dataclass(frozen=True)
class Program:
    """What to run, and the name its output appears under."""

    name: str
    command: Sequence[str]
    #: What it is sent if `up` itself is killed.
    death_signal: signal.Signals = signal.SIGTERM
    #: On top of that of all others.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: A socket's file, which one that was killed leaves behind, and which keeps its
    #: successor from listening.
    socket: Path | None = None


@dataclass
class Child:
    """A program that runs, or will run again soon."""

    program: Program
    process: subprocess.Popen[str]
    relay: threading.Thread
    last_lines: deque[str]
    started_at: float = field(default_factory=time.monotonic)
    restart_count: int = 0
    restart_at: float | None = None


class Supervisor:
    """Starts and watches children, all from the main thread."""

    def __init__(
        self, terminal: Terminal, *, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._terminal = terminal
        self._environment = environment
        self._folder = folder
        self._children: list[Child] = []

    def keep(self, program: Program) -> None:
        """Start a program that is to run until the end."""
        self._children.append(self._launch(program))

    def run(self, program: Program, *, meanwhile: Callable[[], None]) -> None:
        """Run a program to its end; raise `UpError` if it fails."""
        child = self._launch(program)
        try:
            while child.process.poll() is None:
                meanwhile()
                time.sleep(TICK_SECONDS)
        finally:
            _end(child)
        if child.process.returncode != 0:
            raise UpError(_obituary(child))

    def tend(self) -> None:
        """Restart who has died; raise `UpError` when one dies again and again."""
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._relaunch(child)
            elif child.process.poll() is not None:
                self._schedule_restart(child, now)

    def stop(self) -> None:
        """End all children, the last started first."""
        while self._children:
            _end(self._children[-1])
            self._children.pop()

    def kill(self) -> None:
        """End all children at once, without asking."""
        for child in self._children:
            _kill_group(child.process)

    def _launch(self, program: Program) -> Child:
        if program.socket is not None:
            program.socket.unlink(missing_ok=True)
        process = subprocess.Popen(
            program.command,
            cwd=self._folder,
            env={**self._environment, **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C is for `up`, which ends the others in the right order.
            start_new_session=True,
            preexec_fn=end_with_parent(program.death_signal),
        )
        assert process.stdout
        last_lines: deque[str] = deque(maxlen=REMEMBERED_LINES)
        relay = threading.Thread(
            target=self._relay,
            args=(program.name, process.stdout, last_lines),
            daemon=True,
        )
        relay.start()
        return Child(program, process, relay, last_lines)

    def _relay(self, name: str, output: IO[str], last_lines: deque[str]) -> None:
        with output:
            for line in output:
                last_lines.append(line.rstrip())
                self._terminal.relay(name, line.rstrip())

    def _schedule_restart(self, child: Child, now: float) -> None:
        _kill_group(child.process)  # what it has started and left behind
        if now - child.started_at > PROBATION.total_seconds():
            child.restart_count = 0
        if child.restart_count == len(RESTART_DELAYS_SECONDS):
            raise UpError(_obituary(child))
        delay = RESTART_DELAYS_SECONDS[child.restart_count]
        self._terminal.say(
            f"{child.program.name} {_manner_of_end(child)}; starting it again "
            f"({child.restart_count + 1} of {len(RESTART_DELAYS_SECONDS)})"
        )
        child.restart_at = now + delay

    def _relaunch(self, child: Child) -> None:
        successor = self._launch(child.program)
        successor.restart_count = child.restart_count + 1
        self._children[self._children.index(child)] = successor


def _end(child: Child) -> None:
    """Ask, wait, kill; return when the child and all it started are gone."""
    with contextlib.suppress(ProcessLookupError):
        child.process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.process.wait(GRACE.total_seconds())
    _kill_group(child.process)
    child.process.wait()
    child.relay.join(timeout=1.0)


def _kill_group(process: subprocess.Popen[str]) -> None:
    # The group has its leader's pid, and lives on while it has members.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _obituary(child: Child) -> str:
    child.relay.join(timeout=1.0)
    last_lines = "\n".join(f"    {line}" for line in child.last_lines)
    return (
        f"{child.program.name} {_manner_of_end(child)}. Its last words:\n{last_lines}"
    )


def _manner_of_end(child: Child) -> str:
    status = child.process.returncode
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"

"""Children that end with their parent: a killed supervisor leaves no orphans."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def end_with_parent(
    death_signal: signal.Signals = signal.SIGTERM,
) -> Callable[[], None] | None:
    """A `preexec_fn` that asks the kernel to signal the child when its parent dies.

    Linux ties this to the *thread* that started the child: start children from
    a thread that lives as long as they should. Elsewhere there is no such
    request, and `None` (nothing to do before exec) is returned.
    """
    # Loaded here, before the fork: the child must not allocate or import.
    prctl = _prctl()
    if prctl is None:
        return None
    parent_pid = os.getpid()

    def ask_for_signal() -> None:
        prctl(PR_SET_PDEATHSIG, death_signal.value, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before the request was made
            os._exit(1)

    return ask_for_signal


def end_with_own_parent() -> None:
    """Be killed, from now on, when the thread that started this process dies."""
    prctl = _prctl()
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)


def _prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl

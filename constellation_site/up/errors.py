"""Why `up` gives up, and how it is asked to stop."""

from __future__ import annotations


class UpError(Exception):
    """The message says what happened and what to do."""


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived.

    Like KeyboardInterrupt not an Exception, so that no handler takes it for one.
    """

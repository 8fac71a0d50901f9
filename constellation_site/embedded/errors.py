"""Why the embedded server cannot run."""

from __future__ import annotations


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot run; the message says why and what to do."""

"""Whether this process is on its way out: it finishes what it has, takes no more.

A file says so, because every process behind one address must say the same: a
pre-stop hook or an operator makes it (``touch``), and removes it to take part again.
"""

from __future__ import annotations

from django.conf import settings


def is_draining() -> bool:
    return bool(settings.DRAIN_FILE.exists())

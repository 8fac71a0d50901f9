"""The history of a round: who did what, and when, by the control database's clock."""

from __future__ import annotations

import os
import socket

from django.db.models.functions import Now

from federation.models import RoundEvent


def me() -> str:
    """Name this process: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def note(round_id: int, what: str) -> None:
    RoundEvent.objects.create(round_id=round_id, at=Now(), who=me(), what=what)

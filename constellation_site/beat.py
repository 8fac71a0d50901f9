"""Beat: sends what the schedule in the control database says, when it says so."""

from __future__ import annotations

from django_celery_beat.schedulers import DatabaseScheduler


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # untyped
    pass

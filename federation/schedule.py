"""When rounds begin: a row that operators edit, and whether a round is due by it.

Beat reads the same row and sends a message when it says so. But due is what the row and
the rounds themselves say, so a message that is lost or there twice changes nothing:
``due`` is asked again every few seconds.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule

from federation import rounds, selectors
from federation.models import Schedule

#: The task that beat sends by the row.
TASK = "federation.federate"
NAME = "Federation rounds"

#: Beat is ahead of the round's own beginning by the way of a message.
TOLERANCE = timedelta(seconds=1)

#: The row's note of the setting it was made from.
_SETTING = "FEDERATION_INTERVAL_SECS"

_UNITS = (
    (86_400, IntervalSchedule.DAYS),
    (3_600, IntervalSchedule.HOURS),
    (60, IntervalSchedule.MINUTES),
    (1, IntervalSchedule.SECONDS),
)


def ensure() -> Schedule:
    """Have the row, by ``FEDERATION_INTERVAL_SECS``.

    What an operator has set stays, until the setting itself is changed.
    """
    seconds = settings.FEDERATION_INTERVAL_SECS
    # Where beat leaves it alone.
    note = f'{{"{_SETTING}": "{seconds}"}}'
    row: Schedule | None = Schedule.objects.filter(task=TASK).first()
    if row is None:
        row = Schedule(
            name=NAME, task=TASK, interval=interval_of(seconds), headers=note
        )
        row.save()
    elif row.headers != note:
        row.interval, row.crontab, row.headers = interval_of(seconds), None, note
        row.save()
    return row


def change(row: Schedule, *, every: int, unit: str) -> None:
    """Have rounds begin in another interval; beat notices within seconds."""
    row.interval, _ = IntervalSchedule.objects.get_or_create(every=every, period=unit)
    row.crontab = None
    row.save()


def interval_of(seconds: int) -> IntervalSchedule:
    """Have an interval, in the largest unit that it is a multiple of."""
    size, period = next(unit for unit in _UNITS if seconds % unit[0] == 0)
    interval: IntervalSchedule
    interval, _ = IntervalSchedule.objects.get_or_create(
        every=seconds // size, period=period
    )
    return interval


def is_due() -> bool:
    """Tell whether the row wants a round that hasn't begun, and one could be held.

    Counted from when the last one began, whoever began it. The first one begins as soon
    as there is enough to publish anything.
    """
    row = Schedule.objects.filter(task=TASK, enabled=True).first()
    if row is None:
        return False
    since = selectors.seconds_since_last_round()
    if since is not None:
        # By the clock of this machine, which the row's schedule will ask.
        began_at = timezone.now() - timedelta(seconds=since)
        if row.schedule.remaining_estimate(began_at) > TOLERANCE:
            return False
    return not rounds.waiting_for()

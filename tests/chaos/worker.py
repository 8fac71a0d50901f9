"""A worker that needs no message: it does whatever units it finds."""

from __future__ import annotations

import os
import time

import django
from django.db import Error, connections

from tests.chaos import patience

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "constellation_site.settings")


def main() -> None:
    django.setup()
    patience.take()
    while True:
        try:
            _work_on_what_there_is()
        except Error:
            time.sleep(0.5)
        finally:
            connections.close_all()
        time.sleep(0.05)


def _work_on_what_there_is() -> None:
    from federation import units
    from federation.models import RoundUnit

    waiting = RoundUnit.objects.filter(
        round__status="running", status__in=("waiting", "claimed")
    )
    for unit_id in waiting.values_list("pk", flat=True):
        units.work_on(unit_id)


if __name__ == "__main__":
    main()

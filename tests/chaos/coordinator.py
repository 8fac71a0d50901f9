"""``manage.py federate``, with the patience that the run asks for."""

from __future__ import annotations

import os

import django
from django.core.management import execute_from_command_line

from tests.chaos import patience

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "constellation_site.settings")

if __name__ == "__main__":
    django.setup()
    patience.take()
    execute_from_command_line(["manage.py", "federate", "--json"])

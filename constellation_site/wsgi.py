"""What a WSGI server serves: syncs in front of Django, and Django."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "constellation_site.settings")

_django = get_wsgi_application()

# They need Django set up.
from constellation_site.one_core import use_one_core  # noqa: E402
from sync import current, front_door  # noqa: E402

use_one_core()

application = front_door.in_front_of(_django)

# Before the first request is taken.
current.watch()

"""What a server with an event loop serves: usual syncs on it, all else in threads."""

from __future__ import annotations

from django.conf import settings

from constellation_site import garbage, wsgi
from sync import event_door
from sync.threads import in_threads

application = event_door.in_front_of(
    in_threads(wsgi.application, settings.REQUEST_THREADS)
)

garbage.collect_less()

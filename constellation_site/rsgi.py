"""What a server with an event loop serves: usual syncs on it, all else in threads."""

from __future__ import annotations

import os

from django.conf import settings

from constellation_site import garbage, wsgi
from constellation_site.parent_death import end_with_own_parent
from sync import event_door
from sync.gate import writing
from sync.threads import in_threads

application = writing.in_front_of(
    event_door.in_front_of(in_threads(wsgi.application, settings.REQUEST_THREADS)),
    os.environ.get(writing.SECRET_VARIABLE),
)

garbage.collect_less()

# This is a worker of granian, which would go on without the one who watches it.
end_with_own_parent()

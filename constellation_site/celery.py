"""The Celery app: wakes workers, by whatever broker.

Nothing depends on a message. What is to be done stands in rows of the control database,
and whoever finds it undone does it; a task only says where to look first. So a message
that is late, lost or there twice changes nothing.
"""

from __future__ import annotations

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "constellation_site.settings")

TRANSPORT_ALIASES["pgmq"] = "constellation_site.message_queue:Transport"

app = Celery("constellation")
# By name: read when it is first used, which most processes never do.
app.config_from_object("constellation_site.celery_settings")
app.autodiscover_tasks()

"""How tasks travel. What an operator may set of it is in settings.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings

broker_url: str = settings.CELERY_BROKER_URL
broker_transport_options: dict[str, Any] = {}
worker_enable_remote_control = True
if broker_url.startswith("pgmq:"):
    broker_transport_options = {
        # Redelivery is a courtesy: leases give a dead worker's units to others.
        "visibility_timeout": 300,
        # Short looks instead of long ones, which would hold locks meanwhile.
        "wait_time_seconds": 0,
        "polling_interval": 0.2,
    }
    # It is answered by queues whose names are too long for pgmq.
    worker_enable_remote_control = False

task_default_queue = "constellation"
task_serializer = "json"
accept_content = ["json"]
# What came of a task stands in rows; nobody asks Celery.
task_ignore_result = True
result_expires = None

# One message a slot, kept by the broker until its work is done.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1

# Threads: a task mostly waits for a database or is inside numpy, and all of them hear
# of a signal. More processes are more workers. Their limits of time are in the rows.
worker_pool = "threads"
worker_hijack_root_logger = False
worker_redirect_stdouts = False

# A broker that is away at the start, or goes away later, comes back.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# But nobody who sends waits for it.
broker_connection_timeout = 2
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0}

#: A round left behind waits for its lease to end, and no longer than this after.
WATCH_INTERVAL = timedelta(seconds=10)

beat_scheduler = "constellation_site.beat:Scheduler"
# After each, or a restart of beat would repeat what was sent in the last minutes.
beat_sync_every = 1
beat_schedule = {
    # Rounds left behind, and those whose message was lost.
    "Watch over rounds": {
        "task": "federation.tend",
        "schedule": WATCH_INTERVAL,
        "options": {"expire_seconds": WATCH_INTERVAL.total_seconds()},
    }
}

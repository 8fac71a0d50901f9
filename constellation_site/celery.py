"""The Celery app: how tasks travel to workers, by whatever broker.

Nothing depends on a message. What is to be done stands in rows of the control database,
and whoever finds it undone does it; a task only says where to look first. So results
are not kept, and a message that is late, lost or there twice changes nothing.
"""

from __future__ import annotations

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "constellation_site.settings")

TRANSPORT_ALIASES["pgmq"] = "constellation_site.message_queue:Transport"

app = Celery("constellation")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.update(
    task_default_queue="constellation",
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    # One message a slot, kept by the broker until its work is done.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # Threads: a task mostly waits for a database or is inside numpy, and a signal
    # reaches all of them. More processes are more workers.
    worker_pool="threads",
    # Who sends has better things to do than to wait for a broker that is away.
    task_publish_retry=False,
    broker_connection_timeout=2,
    # A broker that is away at the start comes; so does one that goes away later.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_hijack_root_logger=False,
    # After each, or a restart of beat would repeat what was sent in the last minutes.
    beat_sync_every=1,
)

if app.conf.broker_url.startswith("pgmq:"):
    app.conf.update(
        broker_transport_options={
            # Redelivery is a courtesy: leases give a dead worker's units to others.
            "visibility_timeout": 300,
            # Short looks instead of long ones, which would hold locks meanwhile.
            "wait_time_seconds": 0,
            "polling_interval": 0.2,
        },
        # It answers by queues whose names are too long for pgmq.
        worker_enable_remote_control=False,
    )

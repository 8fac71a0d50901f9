"""Workers: who takes units of work just now."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from federation.models import Worker
from shards.admin_base import ConsoleAdmin, ReadOnly, instant


@admin.register(Worker)
class WorkerAdmin(ReadOnly, ConsoleAdmin):
    list_display = ("name", "slots", "started", "seen")
    list_display_links = None
    ordering = ("name",)

    @admin.display(description="started", ordering="started_at")
    def started(self, worker: Worker) -> SafeString:
        return instant(worker.started_at)

    @admin.display(description="last seen", ordering="seen_at")
    def seen(self, worker: Worker) -> SafeString:
        return instant(worker.seen_at)

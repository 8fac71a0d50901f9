"""The schedule: how often a round begins, and whether."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat.models import IntervalSchedule
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from federation import schedule
from federation.models import Schedule
from shards.admin_base import ConsoleAdmin, instant

UNITS = (
    (IntervalSchedule.SECONDS, "seconds"),
    (IntervalSchedule.MINUTES, "minutes"),
    (IntervalSchedule.HOURS, "hours"),
    (IntervalSchedule.DAYS, "days"),
)


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # not at run time
    every = forms.IntegerField(
        min_value=1,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Counted from when the last round began, whoever began it.",
    )
    unit = forms.ChoiceField(choices=UNITS, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Schedule
        fields = ("enabled",)
        help_texts = {"enabled": "Without it rounds begin by hand only."}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if interval := self.instance.interval:
            self.initial.update(every=interval.every, unit=interval.period)


@admin.register(Schedule)
class ScheduleAdmin(ConsoleAdmin):
    """Changed here, made by beat: there is one."""

    form = ScheduleForm
    fields = ("enabled", "every", "unit")
    list_display = ("name", "often", "enabled", "last_begun")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        queryset: QuerySet[Schedule] = super().get_queryset(request)
        return queryset.filter(task=schedule.TASK).select_related("interval", "crontab")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Schedule | None = None
    ) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: Schedule, form: Any, change: bool
    ) -> None:
        schedule.change(
            obj, every=form.cleaned_data["every"], unit=form.cleaned_data["unit"]
        )

    @admin.display(description="how often")
    def often(self, row: Schedule) -> str:
        return str(row.interval or row.crontab or "")

    @admin.display(description="last wanted", ordering="last_run_at")
    def last_begun(self, row: Schedule) -> SafeString:
        return instant(row.last_run_at)

"""What isn't of one room: the look-up of a TV, operators, and what they did."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django_celery_beat import admin as beat_admin
from rest_framework.authtoken import admin as _  # noqa: F401  # registers TokenProxy
from rest_framework.authtoken.models import TokenProxy
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from constellation_site.console import lookup
from patterns.services.forget import forget_device
from shards.admin_base import (
    Confirmation,
    ConsoleAdmin,
    ReadOnly,
    instant,
    is_confirmed,
    status_badge,
)
from shards.models import DeviceHome
from shards.services import devices

# Tokens would be shown in full to whoever may list them; `operator create` makes them.
admin.site.unregister([User, Group, TokenProxy])
# federation/admin/schedules.py shows what operators may change of them.
admin.site.unregister(
    [
        beat_admin.ClockedSchedule,
        beat_admin.CrontabSchedule,
        beat_admin.IntervalSchedule,
        beat_admin.PeriodicTask,
        beat_admin.SolarSchedule,
    ]
)


DEEDS_SHOWN = 20


@admin.register(DeviceHome)
class DeviceLookup(ReadOnly, ConsoleAdmin):
    """No list of TVs: paste an id, see that TV.

    Its address is that of DeviceHome's pages, so that the log of what was done links
    to the TV.
    """

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.find), name="shards_devicehome_changelist"),
            path("<uuid:device_id>/", wrap(self.show), name="shards_devicehome_change"),
            path(
                "<uuid:device_id>/revoke/",
                wrap(self.revoke),
                name="shards_devicehome_revoke",
            ),
            path(
                "<uuid:device_id>/reinstate/",
                wrap(self.reinstate),
                name="shards_devicehome_reinstate",
            ),
            path(
                "<uuid:device_id>/forget/",
                wrap(self.forget),
                name="shards_devicehome_forget",
            ),
        ]

    def has_view_permission(
        self, request: HttpRequest, obj: DeviceHome | None = None
    ) -> bool:
        return request.user.has_perm("shards.view_device")

    def find(self, request: HttpRequest) -> HttpResponse:
        _require(request, "shards.view_device")
        typed = request.GET.get("id", "").strip()
        problem = ""
        if typed:
            try:
                return HttpResponseRedirect(_page_url(UUID(typed)))
            except ValueError:
                problem = (
                    "That isn't a TV's id. It looks like "
                    "3f2b8c1e-9d47-4c55-8a0e-6b1f2d3c4a5e."
                )
        return self._answer(
            request,
            "console/lookup.html",
            title="Find a TV",
            typed=typed,
            problem=problem,
        )

    def show(self, request: HttpRequest, device_id: UUID) -> HttpResponse:
        _require(request, "shards.view_device")
        home = lookup.home_of(device_id)
        if home is None:
            return self._answer(
                request,
                "console/lookup.html",
                title="Find a TV",
                typed=str(device_id),
                problem="No TV has this id: it never enrolled, or it was forgotten.",
                status=404,
            )
        return self._answer(
            request,
            "console/device.html",
            title=f"TV {device_id}",
            home=home,
            seen=lookup.look_at(home),
            deeds=_deeds(device_id),
            may_change=request.user.has_perm("shards.change_device"),
            may_forget=request.user.has_perm("shards.delete_device"),
        )

    def revoke(self, request: HttpRequest, device_id: UUID) -> HttpResponse:
        _require(request, "shards.change_device")
        if not is_confirmed(request):
            return self._ask(
                request,
                device_id,
                title="Revoke this TV?",
                consequences=[
                    "It is refused from its next sync on, and can't enrol again.",
                    "What it sent stays stored; forget it to delete that.",
                ],
                button="Revoke",
                is_dangerous=True,
            )
        with self.refusals_shown(request, _named(device_id)):
            devices.revoke_device(device_id=device_id)
            _log(request, device_id, CHANGE, "Revoked.")
            self.message_user(request, "1 TV revoked.", messages.SUCCESS)
        return HttpResponseRedirect(_page_url(device_id))

    def reinstate(self, request: HttpRequest, device_id: UUID) -> HttpResponse:
        _require(request, "shards.change_device")
        if not is_confirmed(request):
            return self._ask(
                request,
                device_id,
                title="Reinstate this TV?",
                consequences=[
                    "It may enrol again with its batch's key; old tokens stay void."
                ],
                button="Reinstate",
            )
        with self.refusals_shown(request, _named(device_id)):
            devices.reinstate_device(device_id=device_id)
            _log(request, device_id, CHANGE, "Reinstated.")
            self.message_user(request, "1 TV reinstated.", messages.SUCCESS)
        return HttpResponseRedirect(_page_url(device_id))

    def forget(self, request: HttpRequest, device_id: UUID) -> HttpResponse:
        _require(request, "shards.delete_device")
        if not is_confirmed(request):
            return self._ask(
                request,
                device_id,
                title="Forget this TV?",
                consequences=[
                    "The TV and everything it ever sent are deleted at once, for good.",
                    "The next round leaves it out.",
                    "It may enrol again as if it had never been here.",
                ],
                button="Forget for good",
                is_dangerous=True,
            )
        with self.refusals_shown(request, _named(device_id)):
            was_there = forget_device(device_id=device_id)
            if was_there:
                _log(request, device_id, DELETION, "Forgotten.")
            self.message_user(
                request,
                "1 TV forgotten." if was_there else "It was forgotten already.",
                messages.SUCCESS,
            )
            return HttpResponseRedirect(self.list_url())
        return HttpResponseRedirect(_page_url(device_id))

    def _ask(
        self,
        request: HttpRequest,
        device_id: UUID,
        *,
        title: str,
        consequences: list[str],
        button: str,
        is_dangerous: bool = False,
    ) -> HttpResponse:
        confirmation = Confirmation(
            title=title,
            consequences=consequences,
            button=button,
            is_dangerous=is_dangerous,
            objects=[str(device_id)],
        )
        return self.confirm(request, confirmation, back_url=_page_url(device_id))

    def _answer(
        self,
        request: HttpRequest,
        template_name: str,
        *,
        status: int = 200,
        **context: Any,
    ) -> HttpResponse:
        return TemplateResponse(
            request,
            template_name,
            {**self.admin_site.each_context(request), **context},
            status=status,
        )


def _require(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def _page_url(device_id: UUID) -> str:
    return reverse("admin:shards_devicehome_change", args=[device_id])


def _named(device_id: UUID) -> str:
    return f"TV {device_id}"


def _log(request: HttpRequest, device_id: UUID, flag: int, message: str) -> None:
    LogEntry.objects.create(
        user_id=cast("int", request.user.pk),
        content_type=ContentType.objects.get_for_model(DeviceHome),
        object_id=str(device_id),
        object_repr=_named(device_id),
        action_flag=flag,
        change_message=message,
    )


def _deeds(device_id: UUID) -> list[LogEntry]:
    return list(
        LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(DeviceHome),
            object_id=str(device_id),
        ).select_related("user")[:DEEDS_SHOWN]
    )


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ConsoleAdmin):  # type: ignore[misc, type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")

    def has_delete_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        """Whoever leaves is made inactive: with them their log would be deleted."""
        return False


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ConsoleAdmin):  # type: ignore[misc]
    pass


LOG_TONES = {ADDITION: "success", CHANGE: "info", DELETION: "danger"}


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnly, ConsoleAdmin):
    """What operators did in the console, latest first."""

    list_display = ("when", "user", "deed", "object_repr", "message")
    list_display_links = None
    list_select_related = ("user", "content_type")
    list_filter = ("action_flag",)
    search_fields = ("object_id__exact",)
    search_help_text = "The whole id of what it was done to, for example a TV's."
    ordering = ("-id",)  # which is by time, and indexed

    @admin.display(description="when", ordering="action_time")
    def when(self, entry: LogEntry) -> SafeString:
        return instant(entry.action_time)

    @admin.display(description="what", ordering="action_flag")
    def deed(self, entry: LogEntry) -> SafeString:
        tone = LOG_TONES[entry.action_flag]
        return status_badge(entry.get_action_flag_display(), tone)

    @admin.display(description="details")
    def message(self, entry: LogEntry) -> str:
        return entry.get_change_message()

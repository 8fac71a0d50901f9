"""Publications, and the way back to an earlier one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant

from federation import background
from federation.models import Publication
from shards.admin_base import (
    Confirmation,
    ConsoleAdmin,
    ReadOnly,
    cell,
    instant,
    is_confirmed,
    page_action,
    thousands,
)


@admin.register(Publication)
class PublicationAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "name",
        "standing",
        "published",
        "round_number",
        "patterns",
        "trends",
        "links",
        "short_checksum",
    )
    fields = ("version",)
    change_form_template = "console/publication.html"
    actions_detail = ("roll_back",)

    patterns = thousands("pattern_count", "patterns")
    trends = thousands("trend_count", "trends")
    links = thousands("link_count", "links")

    def has_roll_back_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return request.user.has_perm("federation.change_federationround")

    @page_action(
        description="Roll back to this version",
        permissions=["roll_back"],
        url_path="roll-back",
        icon="undo",
        variant=ActionVariant.DANGER,
    )
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, self._roll_back)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer nothing for the current version: TVs have it already."""
        publication = self.get_object(request, unquote(str(object_id)))
        if publication is None or publication.is_current:
            return []
        actions: list[Any] = super().get_actions_detail(request, object_id)
        return actions

    def _roll_back(
        self, request: HttpRequest, queryset: QuerySet[Publication]
    ) -> HttpResponse | None:
        chosen = queryset.get()
        if not is_confirmed(request):
            return self.confirm(
                request,
                Confirmation(
                    title=f"Roll back to version {chosen.version}?",
                    consequences=[
                        "What it said is published again, under a new version: a TV's "
                        "version never goes down.",
                        "Every TV gets it with its next sync.",
                        "The next round publishes what the fleet says by then.",
                    ],
                    button="Roll back",
                    is_dangerous=True,
                ),
                back_url=self.page_url(chosen),
            )
        with self.refusals_shown(request, "Not rolled back"):
            started = background.start_roll_back(version=chosen.version)
            self.log_change(request, chosen, f"Rolled back to, by {started}.")
            self.message_user(
                request, f"Rolling back 1 publication: {started}.", messages.SUCCESS
            )
            url = reverse("admin:federation_federationround_change", args=[started.pk])
            return HttpResponseRedirect(url)
        return None

    @admin.display(description="version", ordering="version")
    def name(self, row: Publication) -> str:
        return str(row)

    @admin.display(description="", ordering="is_current")
    def standing(self, row: Publication) -> SafeString:
        return cell("console/standing.html", publication=row)

    @admin.display(description="published", ordering="published_at")
    def published(self, row: Publication) -> SafeString:
        return instant(row.published_at)

    @admin.display(description="round", ordering="round_id")
    def round_number(self, row: Publication) -> SafeString:
        return cell("console/round_link.html", round_id=row.round_id)

    @admin.display(description="checksum")
    def short_checksum(self, row: Publication) -> SafeString:
        return cell("console/checksum.html", checksum=row.checksum)

    def page(self, request: HttpRequest, obj: Publication) -> dict[str, Any]:
        version = f"?version={obj.version}"
        return {
            "patterns_url": reverse("admin:federation_globalpattern_changelist")
            + version,
            "trends_url": reverse("admin:federation_trend_changelist") + version,
        }

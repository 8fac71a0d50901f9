"""Rounds: how they went, who gave what, and a button for one more."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import (
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    OuterRef,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant

from federation import background, privacy
from federation.models import (
    FederationRound,
    PrivacySpending,
    Publication,
    RoundShard,
    RoundUnit,
)
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

ROUND_TONES = {
    FederationRound.Status.RUNNING: "info",
    FederationRound.Status.PUBLISHED: "success",
    FederationRound.Status.PARTIAL: "warning",
    FederationRound.Status.ABANDONED: "danger",
}
ROUND_SHARD_TONES = {
    RoundShard.Status.COLLECTING: "info",
    RoundShard.Status.COLLECTED: "info",
    RoundShard.Status.PUBLISHED: "success",
    RoundShard.Status.MISSING: "danger",
    RoundShard.Status.LEFT_OUT: "",
    RoundShard.Status.BEHIND: "warning",
}

UNIT_TONES = {
    RoundUnit.Status.WAITING: "",
    RoundUnit.Status.CLAIMED: "info",
    RoundUnit.Status.DONE: "success",
    RoundUnit.Status.FAILED: "danger",
}

#: Units and lines of its history that a page shows of a round, the newest first.
SHOWN_UNITS = 400
SHOWN_EVENTS = 100

CONTRIBUTED = (
    RoundShard.Status.COLLECTED,
    RoundShard.Status.PUBLISHED,
    RoundShard.Status.BEHIND,
)


TROUBLE = (RoundShard.Status.MISSING, RoundShard.Status.BEHIND)


#: What the defences of a round are called, in the order of their weight.
MISFITS = {
    "left_out_batches": "enrolment batches left out",
    "left_out_shards": "shards left out of a cell",
    "left_out_of_cells": "enrolment batches left out of a cell",
    "held_cells": "cells held where they were",
    "contested_cells": "cells that most of was left out of",
    "waiting_cells": "cells on probation",
}
NAMED_MISFITS = 20


def misfits(row: FederationRound) -> list[tuple[str, int, str]]:
    """What, how many, and the first of them by name."""
    told = []
    for name, what in {**MISFITS, "quarantined_cells": "cells in quarantine"}.items():
        found = row.defences.get(name, [])
        names = [
            f"{each[0]} ({each[1]})" if isinstance(each, list) else str(each)
            for each in found[:NAMED_MISFITS]
        ]
        more = ["…"] if len(found) > NAMED_MISFITS else []
        if found:
            told.append((what, len(found), ", ".join(names + more)))
    return told


def round_tone(row: FederationRound) -> str:
    return ROUND_TONES[FederationRound.Status(row.status)]


def round_shard_tone(row: RoundShard) -> str:
    return ROUND_SHARD_TONES[RoundShard.Status(row.status)]


@admin.register(FederationRound)
class FederationRoundAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "number",
        "state",
        "started",
        "took",
        "global_version",
        "contributors",
        "patterns",
        "trends",
        "links",
        "suppressed",
    )
    list_filter = ("status",)
    fields = ("status",)
    change_form_template = "console/round.html"
    actions_list = ("run",)

    patterns = thousands("pattern_count", "patterns")
    trends = thousands("trend_count", "trends")
    links = thousands("link_count", "links")
    suppressed = thousands("suppressed_count", "suppressed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FederationRound]:
        queryset: QuerySet[FederationRound] = super().get_queryset(request)
        # A subquery: a join would multiply each round by its shards.
        contributed = (
            RoundShard.objects.filter(round=OuterRef("pk"), status__in=CONTRIBUTED)
            .order_by()
            .values("round")
            .annotate(count=Count("pk"))
            .values("count")
        )
        return queryset.annotate(
            length=ExpressionWrapper(
                F("finished_at") - F("started_at"), output_field=DurationField()
            ),
            contributor_count=Coalesce(Subquery(contributed), 0),
        )

    @admin.display(description="round", ordering="id")
    def number(self, row: FederationRound) -> str:
        return str(row)

    @admin.display(description="status", ordering="status")
    def state(self, row: FederationRound) -> SafeString:
        return cell("console/round_state.html", round=row, tone=round_tone(row))

    @admin.display(description="started", ordering="started_at")
    def started(self, row: FederationRound) -> SafeString:
        return instant(row.started_at)

    @admin.display(description="took", ordering="length")
    def took(self, row: Any) -> SafeString:
        return cell("console/span.html", length=row.length)

    @admin.display(description="shards", ordering="contributor_count")
    def contributors(self, row: Any) -> int:
        return int(row.contributor_count)

    def has_run_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return request.user.has_perm("federation.add_federationround")

    @page_action(
        description="Run a round now",
        permissions=["run"],
        url_path="run",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
    )
    def run(self, request: HttpRequest) -> HttpResponse:
        if not is_confirmed(request):
            return self.confirm(
                request,
                Confirmation(
                    title="Run a round now?",
                    consequences=[
                        "Every shard is read twice; TVs go on syncing meanwhile.",
                        "What it finds is published to all shards as a new version.",
                        "The hourly rounds go on as planned.",
                    ],
                    button="Run a round",
                ),
            )
        with self.refusals_shown(request, "Not started"):
            started = background.start_round()
            self.log_addition(request, started, "Started from the console.")
            self.message_user(request, f"{started} started.", messages.SUCCESS)
            return HttpResponseRedirect(self.page_url(started))
        return HttpResponseRedirect(self.list_url())

    def page(self, request: HttpRequest, obj: FederationRound) -> dict[str, Any]:
        shards = list(obj.round_shards.select_related("shard"))
        # What needs a look first, then by number.
        shards.sort(key=lambda row: (row.status not in TROUBLE, row.shard_id))
        publications = Publication.objects.filter(version=obj.global_version or 0)
        return {
            # None once the version isn't kept any more.
            "publication": publications.first(),
            "round_tone": round_tone(obj),
            "misfits": misfits(obj),
            "round_shards": [(row, round_shard_tone(row)) for row in shards],
            "units": [
                (unit, UNIT_TONES[RoundUnit.Status(unit.status)])
                for unit in obj.units.select_related("shard").order_by("-pk")[
                    :SHOWN_UNITS
                ]
            ],
            "history": obj.events.order_by("-pk")[:SHOWN_EVENTS],
            "contributed_count": sum(row.status in CONTRIBUTED for row in shards),
            "parameters": sorted(obj.parameters.items()),
            **_spending(obj),
        }


def _spending(told: FederationRound) -> dict[str, Any]:
    """What a round with noise told of any one TV, and all such rounds together."""
    spending = PrivacySpending.objects.filter(pk=told.pk).first()
    return {} if spending is None else {"spending": spending, "spent": privacy.spent()}

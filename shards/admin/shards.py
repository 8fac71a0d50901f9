"""Shards: how full, how well, and whether they take new TVs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import F, FloatField, Q, QuerySet
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from shards.admin_base import (
    Confirmation,
    ConsoleAdmin,
    cell,
    is_confirmed,
    page_action,
    status_badge,
    these,
    thousands,
)
from shards.condition import (
    NEARLY_FULL_FRACTION,
    OBSERVATION_STALE_AFTER,
    Sight,
    sight_of,
)
from shards.models import Shard
from shards.services import shards

SHARD_TONES = {
    Shard.Status.ACTIVE: "success",
    Shard.Status.DRAINING: "warning",
}
SIGHT_TONES = {
    Sight.REACHABLE: "success",
    Sight.UNREACHABLE: "danger",
    Sight.STALE: "warning",
    Sight.UNSEEN: "",
}

USED_FRACTION = Cast(F("device_count"), FloatField()) / F("max_devices")


class RegionFilter(admin.SimpleListFilter):
    title = "region"
    parameter_name = "region"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # There are as many shards as databases: a table of hundreds at most.
        regions = set(Shard.objects.values_list("region", flat=True))
        return [(region, region) for region in sorted(regions)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(region=self.value()) if self.value() else queryset


class ConditionFilter(admin.SimpleListFilter):
    """The lists behind the first page's warnings."""

    title = "condition"
    parameter_name = "condition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("nearly_full", "Nearly full"),
            ("unreachable", "Unreachable"),
            ("stale", "Not observed lately"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        fresh = Q(observed_at__gte=timezone.now() - OBSERVATION_STALE_AFTER)
        match self.value():
            case "nearly_full":
                return queryset.filter(used__gte=NEARLY_FULL_FRACTION)
            case "unreachable":
                return queryset.filter(fresh, is_reachable=False)
            case "stale":
                return queryset.filter(~fresh | Q(observed_at=None))
        return queryset


@admin.register(Shard)
class ShardAdmin(ConsoleAdmin):
    list_display = (
        "identity",
        "region",
        "state",
        "capacity",
        "active",
        "rate",
        "latency",
        "freshness",
    )
    list_filter = ("status", RegionFilter, ConditionFilter)
    search_fields = ("name__istartswith",)
    search_help_text = "The beginning of a shard's name."
    ordering = ("id",)
    actions = ("drain", "activate")
    actions_detail = ("drain_this", "activate_this")
    fieldsets = (
        (None, {"fields": ("name", "region", "max_devices")}),
        ("Where its TVs find it", {"fields": ("sync_url", "grpc_target")}),
        (
            "As last seen",
            {
                "fields": (
                    "state",
                    "capacity",
                    "active",
                    "stored_patterns",
                    "rate",
                    "latency",
                    "freshness",
                )
            },
        ),
    )
    readonly_fields = (
        "state",
        "capacity",
        "active",
        "stored_patterns",
        "rate",
        "latency",
        "freshness",
    )

    active = thousands("active_device_count", "active")
    stored_patterns = thousands("pattern_count", "patterns")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Shard]:
        queryset: QuerySet[Shard] = super().get_queryset(request)
        return queryset.annotate(used=USED_FRACTION)

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "sync_url":
            kwargs["assume_scheme"] = "https"  # for an address typed without one
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A shard begins with its database: `manage.py shard add`."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        return False

    @admin.display(description="shard", ordering="id")
    def identity(self, shard: Shard) -> SafeString:
        return cell("console/identity.html", shard=shard)

    @admin.display(description="status", ordering="status")
    def state(self, shard: Shard) -> SafeString:
        tone = SHARD_TONES[Shard.Status(shard.status)]
        return status_badge(shard.get_status_display(), tone)

    @admin.display(description="TVs", ordering="used")
    def capacity(self, shard: Shard) -> SafeString:
        return cell("console/capacity.html", shard=shard)

    @admin.display(description="syncs a minute", ordering="syncs_per_minute")
    def rate(self, shard: Shard) -> str:
        return f"{shard.syncs_per_minute:,.0f}"

    @admin.display(description="latency", ordering="mean_latency_ms")
    def latency(self, shard: Shard) -> str:
        return f"{shard.mean_latency_ms:,.1f} ms"

    @admin.display(description="seen", ordering="observed_at")
    def freshness(self, shard: Shard) -> SafeString:
        sight = sight_of(shard, now=timezone.now())
        return cell(
            "console/freshness.html", shard=shard, sight=sight, tone=SIGHT_TONES[sight]
        )

    @admin.action(description="Drain: take no new TVs", permissions=["change"])
    def drain(
        self, request: HttpRequest, queryset: QuerySet[Shard]
    ) -> HttpResponse | None:
        chosen = list(queryset)
        if not is_confirmed(request):
            return self.confirm(request, _draining(chosen))
        self.carry_out(request, chosen, act=_drain, done="drained")
        return None

    @admin.action(description="Activate: take new TVs again", permissions=["change"])
    def activate(
        self, request: HttpRequest, queryset: QuerySet[Shard]
    ) -> HttpResponse | None:
        chosen = list(queryset)
        if not is_confirmed(request):
            return self.confirm(request, _activating(chosen))
        self.carry_out(request, chosen, act=_activate, done="activated")
        return None

    @page_action(description="Drain", permissions=["change"], url_path="drain")
    def drain_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, self.drain)

    @page_action(description="Activate", permissions=["change"], url_path="activate")
    def activate_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, self.activate)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what the shard's status leaves to do."""
        shard = self.get_object(request, unquote(str(object_id)))
        offered = (
            "drain" if shard and shard.status == Shard.Status.ACTIVE else "activate"
        )
        actions = super().get_actions_detail(request, object_id)
        return [each for each in actions if each.path == offered]


def _draining(chosen: list[Shard]) -> Confirmation:
    tv_count = sum(shard.device_count for shard in chosen)
    return Confirmation(
        title=f"Drain {these(chosen)}?",
        consequences=[
            "New TVs go to other shards; if none has room, they are refused.",
            f"The {tv_count:,} TVs that live there go on syncing as before.",
        ],
        button="Drain",
        objects=[str(shard) for shard in chosen],
    )


def _activating(chosen: list[Shard]) -> Confirmation:
    return Confirmation(
        title=f"Activate {these(chosen)}?",
        consequences=["New TVs are placed there again, up to its capacity."],
        button="Activate",
        objects=[str(shard) for shard in chosen],
    )


def _drain(shard: Shard) -> str:
    shards.drain_shard(shard)
    return "Drained."


def _activate(shard: Shard) -> str:
    shards.activate_shard(shard)
    return "Activated."

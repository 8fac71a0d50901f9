"""Trends by region: against their own past, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from federation import selectors
from federation.admin.versions import VersionFilter
from federation.models import Publication, Trend
from patterns.display import title_of_item, titles_of
from shards.admin_base import ConsoleAdmin, ReadOnly, cell, status_badge, thousands
from shards.models import EnrolmentBatch, Shard

#: Publications that a trend's page looks back over.
HISTORY_LENGTH = 12

KIND_TONES = {
    Trend.Kind.NEW: "success",
    Trend.Kind.RISING: "success",
    Trend.Kind.STEADY: "",
    Trend.Kind.FADING: "info",
}


class RegionFilter(admin.SimpleListFilter):
    """Regions of shards, and those that trends of the current version are for."""

    title = "region"
    parameter_name = "region"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        regions = set(Shard.objects.values_list("region", flat=True))
        # Each region has one strongest trend, so nothing needs to be made distinct.
        regions |= set(
            Trend.objects.filter(
                version=selectors.current_version(), rank=1
            ).values_list("region", flat=True)
        )
        return [(region, region) for region in sorted(regions)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(region=self.value()) if self.value() else queryset


class CarriedFilter(admin.SimpleListFilter):
    """Trends that most of one batch, or of one shard, makes."""

    title = "carried by"
    parameter_name = "carried_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("any", "One batch or shard"),
            ("batch", "One batch"),
            ("shard", "One shard"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "any":
                return queryset.exclude(carrying_batch=None, carrying_shard=None)
            case "batch":
                return queryset.exclude(carrying_batch=None)
            case "shard":
                return queryset.exclude(carrying_shard=None)
        return queryset


@admin.register(Trend)
class TrendAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "subject",
        "region",
        "becoming",
        "rank",
        "strength",
        "against_usual",
        "tvs",
        "path",
        "origin",
    )
    list_filter = (VersionFilter, RegionFilter, "kind", CarriedFilter)
    search_fields = ("item__startswith",)
    search_help_text = "The beginning of a content id, or genre:thriller."
    ordering = ("rank", "region")
    fields = ("item",)
    change_form_template = "console/trend.html"

    tvs = thousands("device_count", "TVs")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist: ChangeList = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        titles = titles_of(row.item for row in rows)
        carriers = Carriers.of(rows)
        for row in rows:
            row.title = title_of_item(row.item, titles)
            row.carriers = carriers.words(row)
        changelist.result_list = rows
        return changelist

    @admin.display(description="what", ordering="item")
    def subject(self, row: Any) -> str:
        return str(row.title)

    @admin.display(description="kind", ordering="kind")
    def becoming(self, row: Trend) -> SafeString:
        return status_badge(row.get_kind_display(), KIND_TONES[Trend.Kind(row.kind)])

    @admin.display(description="score", ordering="score")
    def strength(self, row: Trend) -> SafeString:
        return cell("console/score.html", score=row.score)

    @admin.display(description="share of TVs", ordering="rate")
    def against_usual(self, row: Trend) -> SafeString:
        return cell("console/rate.html", trend=row, growth=growth(row))

    @admin.display(description="course")
    def path(self, row: Trend) -> SafeString:
        return cell("console/course.html", values=drawn(row.course))

    @admin.display(description="comes from")
    def origin(self, row: Any) -> SafeString:
        return cell("console/carriers.html", trend=row, carriers=row.carriers)

    def page(self, request: HttpRequest, obj: Trend) -> dict[str, Any]:
        titles = titles_of([obj.item])
        same_item = Trend.objects.filter(version=obj.version, item=obj.item)
        carriers = Carriers.of([obj])
        return {
            "title": title_of_item(obj.item, titles),
            "kind_tone": KIND_TONES[Trend.Kind(obj.kind)],
            "growth": growth(obj),
            "path": drawn(obj.course),
            "highest_rate": max(obj.course, default=0.0),
            "history": _history(obj),
            "elsewhere": same_item.exclude(pk=obj.pk).order_by("-score"),
            "carriers": carriers.words(obj),
            "origins": [
                Spread.of(
                    "Enrolment batches",
                    "admin:shards_enrolmentbatch_change",
                    zip(obj.batch_ids, obj.batch_shares, strict=True),
                    carriers.batches,
                    obj.batch_concentration,
                ),
                Spread.of(
                    "Shards",
                    "admin:shards_shard_change",
                    zip(obj.shard_ids, obj.shard_shares, strict=True),
                    carriers.shards,
                    obj.shard_concentration,
                ),
            ],
        }


@dataclass(frozen=True)
class Carriers:
    """The names of the shards and batches that trends come from."""

    shards: dict[int, str]
    batches: dict[int, str]

    @classmethod
    def of(cls, trends: Iterable[Trend]) -> Carriers:
        trends = list(trends)
        shards = {each for trend in trends for each in trend.shard_ids}
        batches = {each for trend in trends for each in trend.batch_ids}
        shards |= {t.carrying_shard for t in trends if t.carrying_shard is not None}
        batches |= {t.carrying_batch for t in trends if t.carrying_batch is not None}
        return cls(
            shards=_names_of(Shard.objects.filter(pk__in=shards)),
            batches=_names_of(EnrolmentBatch.objects.filter(pk__in=batches)),
        )

    def words(self, trend: Trend) -> list[str]:
        """Say which one batch or shard carries a trend, if one does."""
        said = []
        if trend.carrying_batch is not None:
            said.append(f"batch {_named(self.batches, trend.carrying_batch)}")
        if trend.carrying_shard is not None:
            said.append(f"shard {_named(self.shards, trend.carrying_shard)}")
        return said


@dataclass(frozen=True)
class Spread:
    """How a trend's TVs are spread over batches, or over shards."""

    title: str
    page: str
    #: (id, name, share), the largest first.
    largest: list[tuple[int, str, float]]
    #: What none of the largest has.
    rest: float
    concentration: float

    @classmethod
    def of(
        cls,
        title: str,
        page: str,
        shares: Iterable[tuple[int, float]],
        names: dict[int, str],
        concentration: float,
    ) -> Spread:
        largest = [(key, _named(names, key), share) for key, share in shares]
        told = sum(share for _, _, share in largest)
        return cls(title, page, largest, max(1.0 - told, 0.0), concentration)

    @property
    def effective_count(self) -> float:
        """How many equal ones would be as concentrated."""
        return 1 / self.concentration if self.concentration else 0.0


def growth(trend: Trend) -> float | None:
    """Tell how many times its usual rate a trend has; None when it is new."""
    return trend.rate / trend.usual_rate if trend.usual_rate > 0 else None


def drawn(course: list[float]) -> list[float]:
    """Scale rates for a sparkline: the highest reaches the top."""
    highest = max(course, default=0.0)
    return [rate / highest for rate in course] if highest else course


def _named(names: dict[int, str], key: int) -> str:
    return names.get(key, f"{key} (removed)")


def _names_of(rows: QuerySet[Any]) -> dict[int, str]:
    return dict(rows.values_list("pk", "name"))


def _history(trend: Trend) -> QuerySet[Trend]:
    return Trend.objects.filter(
        version__in=_kept_versions(), region=trend.region, item=trend.item
    ).order_by("-version")


def _kept_versions() -> list[int]:
    """List the last versions, newest first, without one that is being staged."""
    published = Publication.objects.filter(version__lte=selectors.current_version())
    return list(published.values_list("version", flat=True)[:HISTORY_LENGTH])

"""Trends by region, against their own past."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
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
from shards.admin_base import ConsoleAdmin, ReadOnly, cell, thousands
from shards.models import Shard

#: Publications that a trend's sparkline looks back over.
HISTORY_LENGTH = 12


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


@admin.register(Trend)
class TrendAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "subject",
        "region",
        "rank",
        "strength",
        "against_usual",
        "tvs",
        "course",
    )
    list_filter = (VersionFilter, RegionFilter)
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
        courses = courses_of(rows)
        for row in rows:
            row.title = title_of_item(row.item, titles)
            row.course = courses[row.region, row.item]
        changelist.result_list = rows
        return changelist

    @admin.display(description="what", ordering="item")
    def subject(self, row: Any) -> str:
        return str(row.title)

    @admin.display(description="score", ordering="score")
    def strength(self, row: Trend) -> SafeString:
        return cell("console/score.html", score=row.score)

    @admin.display(description="share of TVs", ordering="rate")
    def against_usual(self, row: Trend) -> SafeString:
        return cell("console/rate.html", trend=row, growth=growth(row))

    @admin.display(description="course")
    def course(self, row: Any) -> SafeString:
        return cell("console/course.html", values=row.course)

    def page(self, request: HttpRequest, obj: Trend) -> dict[str, Any]:
        titles = titles_of([obj.item])
        same_item = Trend.objects.filter(version=obj.version, item=obj.item)
        return {
            "title": title_of_item(obj.item, titles),
            "growth": growth(obj),
            "course": courses_of([obj])[obj.region, obj.item],
            "history": _history(obj),
            "elsewhere": same_item.exclude(pk=obj.pk).order_by("-score"),
        }


def growth(trend: Trend) -> float | None:
    """Tell how many times its usual rate a trend has; None when it is new."""
    return trend.rate / trend.usual_rate if trend.usual_rate > 0 else None


def courses_of(trends: Iterable[Trend]) -> dict[tuple[str, str], list[float]]:
    """Look up the scores of trends over the last versions, oldest first.

    A version that didn't have the trend counts as 0.
    """
    trends = list(trends)
    versions = sorted(_kept_versions())
    scores: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    rows = Trend.objects.filter(
        version__in=versions,
        region__in={trend.region for trend in trends},
        item__in={trend.item for trend in trends},
    ).order_by()
    for version, region, item, score in rows.values_list(
        "version", "region", "item", "score"
    ):
        scores[region, item][version] = score
    return {
        key: [scores[key].get(version, 0.0) for version in versions]
        for key in {(trend.region, trend.item) for trend in trends}
    }


def _history(trend: Trend) -> QuerySet[Trend]:
    return Trend.objects.filter(
        version__in=_kept_versions(), region=trend.region, item=trend.item
    ).order_by("-version")


def _kept_versions() -> list[int]:
    """List the last versions, newest first, without one that is being staged."""
    published = Publication.objects.filter(version__lte=selectors.current_version())
    return list(published.values_list("version", flat=True)[:HISTORY_LENGTH])

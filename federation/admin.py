"""Rounds and what they published: everything to look at, nothing to edit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import (
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from pgvector.django import CosineDistance
from unfold.decorators import display

from federation import selectors
from federation.models import (
    FederationRound,
    GlobalPattern,
    Publication,
    RoundShard,
    Trend,
)
from patterns.display import context_words, title_of_item, titles_of
from shards.admin_base import ConsoleAdmin, ReadOnly, cell
from shards.models import Shard

NEIGHBOUR_COUNT = 10
#: Publications that a trend's sparkline looks back over.
HISTORY_LENGTH = 12
#: Versions offered by the filters; older ones are found through their round.
VERSIONS_OFFERED = 20

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

CONTRIBUTED = (
    RoundShard.Status.COLLECTED,
    RoundShard.Status.PUBLISHED,
    RoundShard.Status.BEHIND,
)


@admin.register(FederationRound)
class FederationRoundAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "number",
        "state",
        "step",
        "started_at",
        "took",
        "global_version",
        "contributors",
        "pattern_count",
        "trend_count",
        "link_count",
        "suppressed_count",
    )
    list_filter = ("status",)
    fields = ("status",)
    change_form_template = "console/round.html"

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

    @display(description="status", ordering="status", label=ROUND_TONES)
    def state(self, row: FederationRound) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @admin.display(description="took", ordering="length")
    def took(self, row: Any) -> SafeString:
        return cell("console/span.html", length=row.length)

    @admin.display(description="shards", ordering="contributor_count")
    def contributors(self, row: Any) -> int:
        return int(row.contributor_count)

    def page(self, request: HttpRequest, obj: FederationRound) -> dict[str, Any]:
        shards = list(obj.round_shards.select_related("shard"))
        # What needs a look first, then by number.
        trouble = {RoundShard.Status.MISSING: 0, RoundShard.Status.BEHIND: 1}
        shards.sort(key=lambda row: (trouble.get(row.status, 2), row.shard_id))  # type: ignore[call-overload]
        publication = Publication.objects.filter(version=obj.global_version).first()
        return {
            "publication": publication,  # None once the version isn't kept any more
            "round_tone": ROUND_TONES.get(obj.status, ""),  # type: ignore[call-overload]
            "round_shards": [
                (row, ROUND_SHARD_TONES.get(row.status, ""))  # type: ignore[call-overload]
                for row in shards
            ],
            "contributed_count": sum(row.status in CONTRIBUTED for row in shards),
            "parameters": sorted(obj.parameters.items()),
        }


class VersionFilter(admin.SimpleListFilter):
    """The current version unless another is asked for; never all of them."""

    title = "version"
    parameter_name = "version"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        versions = Publication.objects.values_list("version", "is_current")
        return [
            (str(version), f"{version} (current)" if is_current else str(version))
            for version, is_current in versions[:VERSIONS_OFFERED]
        ]

    def value(self) -> str:
        asked = super().value()
        if asked is not None and asked.isdecimal() and len(asked) < 19:
            return asked
        return str(selectors.current_version())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(version=self.value())

    def choices(self, changelist: ChangeList) -> Any:
        for lookup, title in self.lookup_choices:
            yield {
                "selected": self.value() == str(lookup),
                "query_string": changelist.get_query_string(
                    {self.parameter_name: lookup}
                ),
                "display": title,
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


@admin.register(GlobalPattern)
class GlobalPatternAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "name",
        "learned_from",
        "circumstances",
        "success",
        "sample_count",
        "device_count",
        "source_count",
        "weight",
    )
    list_filter = (VersionFilter, "time_of_day", "day_of_week", "content_type")
    search_fields = ("cell",)
    search_help_text = "The number of a cell, or a whole content id."
    ordering = ("-mass",)
    fields = ("cell",)
    change_form_template = "console/global_pattern.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[GlobalPattern]:
        queryset: QuerySet[GlobalPattern] = super().get_queryset(request)
        return queryset.defer("embedding")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search within the version that the filter chose, a bounded set of rows."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isdecimal() and len(term) < 10:
            return queryset.filter(cell=int(term)), False
        return queryset.filter(content_ids__contains=[term]), False

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist: ChangeList = super().get_changelist_instance(request)
        rows = changelist.result_list
        titles = titles_of(item for row in rows for item in row.content_ids)
        largest = _largest_mass(rows[0].version) if rows else 1.0
        for row in rows:
            row.titles = [titles.get(item, item) for item in row.content_ids]
            row.mass_share = row.mass / largest
        return changelist

    @admin.display(description="cell", ordering="cell")
    def name(self, row: GlobalPattern) -> str:
        return str(row)

    @admin.display(description="learned from")
    def learned_from(self, row: Any) -> SafeString:
        return cell("console/titles.html", titles=row.titles)

    @admin.display(description="circumstances")
    def circumstances(self, row: GlobalPattern) -> SafeString:
        return cell(
            "console/words.html", words=context_words(row), genres=row.genre_hints
        )

    @admin.display(description="success", ordering="success_rate")
    def success(self, row: GlobalPattern) -> SafeString:
        return cell("console/percent.html", fraction=row.success_rate)

    @admin.display(description="mass", ordering="mass")
    def weight(self, row: Any) -> SafeString:
        return cell("console/mass.html", mass=row.mass, share=row.mass_share)

    def page(self, request: HttpRequest, obj: GlobalPattern) -> dict[str, Any]:
        neighbours = nearest_cells(obj, count=NEIGHBOUR_COUNT)
        titles = titles_of(
            item for row in [obj, *neighbours] for item in row.content_ids
        )
        return {
            "words": context_words(obj),
            "contents": [(item, titles.get(item)) for item in obj.content_ids],
            "mass_share": obj.mass / _largest_mass(obj.version),
            "neighbours": [
                (row, [titles.get(item, item) for item in row.content_ids])
                for row in neighbours
            ],
        }


def nearest_cells(pattern: GlobalPattern, *, count: int) -> list[Any]:
    """Find the cells of the same version nearest to one, exactly.

    Ordered by similarity, which the HNSW index doesn't serve: the index holds every
    kept version, so among its candidates the wanted version would be a minority.
    """
    return list(
        GlobalPattern.objects.filter(version=pattern.version)
        .exclude(pk=pattern.pk)
        .annotate(similarity=1 - CosineDistance("embedding", pattern.embedding))
        .defer("embedding")
        .order_by("-similarity", "cell")[:count]
    )


def _largest_mass(version: int) -> float:
    largest = GlobalPattern.objects.filter(version=version).aggregate(Max("mass"))
    return largest["mass__max"] or 1.0


@admin.register(Trend)
class TrendAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "subject",
        "region",
        "rank",
        "strength",
        "against_usual",
        "device_count",
        "course",
    )
    list_filter = (VersionFilter, RegionFilter)
    search_fields = ("item__startswith",)
    search_help_text = "The beginning of a content id, or genre:thriller."
    ordering = ("rank", "region", "item")
    fields = ("item",)
    change_form_template = "console/trend.html"

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


@admin.register(Publication)
class PublicationAdmin(ReadOnly, ConsoleAdmin):
    list_display = (
        "name",
        "standing",
        "published_at",
        "round_number",
        "pattern_count",
        "trend_count",
        "link_count",
        "short_checksum",
    )
    fields = ("version",)
    change_form_template = "console/publication.html"

    @admin.display(description="version", ordering="version")
    def name(self, row: Publication) -> str:
        return str(row)

    @admin.display(description="", ordering="is_current")
    def standing(self, row: Publication) -> SafeString:
        return cell("console/standing.html", publication=row)

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

"""Rounds and what they published: everything to look at, nothing to edit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
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
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from pgvector.django import CosineDistance
from unfold.enums import ActionVariant

from federation import background, selectors
from federation.models import (
    FederationRound,
    GlobalPattern,
    Publication,
    RoundShard,
    Trend,
)
from patterns.display import context_words, title_of_item, titles_of
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


TROUBLE = (RoundShard.Status.MISSING, RoundShard.Status.BEHIND)


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
            "round_shards": [(row, round_shard_tone(row)) for row in shards],
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


class ContextFilter(admin.ChoicesFieldListFilter):
    """Circumstances in words; those of patterns that name none come as well."""

    def choices(self, changelist: ChangeList) -> Any:
        for choice in super().choices(changelist):
            words = str(choice["display"]).replace("_", " ")
            yield {**choice, "display": words or "unspecified"}


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
        "samples",
        "tvs",
        "source_count",
        "weight",
    )
    list_filter = (
        VersionFilter,
        ("time_of_day", ContextFilter),
        ("day_of_week", ContextFilter),
        ("content_type", ContextFilter),
    )
    search_fields = ("cell",)
    search_help_text = "The number of a cell, or a whole content id."
    ordering = ("-mass",)
    fields = ("cell",)
    change_form_template = "console/global_pattern.html"

    samples = thousands("sample_count", "samples")
    tvs = thousands("device_count", "TVs")

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
    def name(self, row: GlobalPattern) -> SafeString:
        return cell("console/nowrap.html", text=row)

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

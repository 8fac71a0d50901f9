"""Global patterns: what many TVs have in common, and what lies near it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from pgvector.django import CosineDistance

from federation.admin.versions import VersionFilter
from federation.models import GlobalPattern
from patterns.display import context_words, titles_of
from shards.admin_base import ConsoleAdmin, ReadOnly, cell, thousands

NEIGHBOUR_COUNT = 10


class ContextFilter(admin.ChoicesFieldListFilter):
    """Circumstances in words; those of patterns that name none come as well."""

    def choices(self, changelist: ChangeList) -> Any:
        for choice in super().choices(changelist):
            words = str(choice["display"]).replace("_", " ")
            yield {**choice, "display": words or "unspecified"}


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

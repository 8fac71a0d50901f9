"""Codebooks: how often TVs had to fetch another, and how well each describes."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from federation.models import TrainedCodebook
from shards.admin_base import ConsoleAdmin, ReadOnly, instant, thousands


@admin.register(TrainedCodebook)
class TrainedCodebookAdmin(ReadOnly, ConsoleAdmin):
    list_display = ("name", "trained", "round_number", "cells", "described")
    fields = ("version", "trained_at", "round_id", "cell_count", "cosine")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainedCodebook]:
        # Half a megabyte each, which no page shows.
        queryset: QuerySet[TrainedCodebook] = super().get_queryset(request)
        return queryset.defer("payload")

    cells = thousands("cell_count", "global patterns")

    @admin.display(description="codebook", ordering="version")
    def name(self, codebook: TrainedCodebook) -> str:
        return str(codebook)

    @admin.display(description="trained", ordering="trained_at")
    def trained(self, codebook: TrainedCodebook) -> SafeString:
        return instant(codebook.trained_at)

    @admin.display(description="by", ordering="round_id")
    def round_number(self, codebook: TrainedCodebook) -> str:
        return f"Round {codebook.round_id}"

    @admin.display(description="cosine", ordering="cosine")
    def described(self, codebook: TrainedCodebook) -> str:
        return f"{codebook.cosine:.4f}"

"""Quarantine: what rounds leave out on an operator's word."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from federation import quarantine
from federation.models import Quarantine
from shards.admin_base import ConsoleAdmin, instant
from shards.exceptions import ConstellationError


class QuarantineForm(forms.ModelForm):  # type: ignore[type-arg]  # not at run time
    class Meta:
        model = Quarantine
        fields = ("kind", "name", "reason")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "kind" in cleaned and "name" in cleaned:
            try:
                cleaned["name"] = quarantine.named(cleaned["kind"], cleaned["name"])
            except ConstellationError as exc:
                self.add_error("name", str(exc))
        return cleaned


@admin.register(Quarantine)
class QuarantineAdmin(ConsoleAdmin):
    """Rows are added and deleted, and both are logged like all that operators do."""

    form = QuarantineForm
    list_display = ("kind", "name", "reason", "since")
    list_filter = ("kind",)
    search_fields = ("name__startswith",)
    search_help_text = "The beginning of an id, a name or a number."

    def has_change_permission(
        self, request: HttpRequest, obj: Quarantine | None = None
    ) -> bool:
        """Take it out and put the right one in: each is a line in the log."""
        return False

    @admin.display(description="since", ordering="created_at")
    def since(self, row: Quarantine) -> SafeString:
        return instant(row.created_at)

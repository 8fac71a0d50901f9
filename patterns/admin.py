"""The catalogue. Contents come in over the API; here their words are corrected."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextInputWidget

from patterns.context import GENRE_LENGTH
from patterns.models import Content
from patterns.vectors import EMBEDDING_DIMENSIONS
from shards.admin_base import ConsoleAdmin


class ContentForm(forms.ModelForm):  # type: ignore[type-arg]  # not at run time
    genres = SimpleArrayField(
        forms.CharField(max_length=GENRE_LENGTH),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Separated by commas.",
    )

    class Meta:
        model = Content
        fields = ("title", "genres", "year")


@admin.register(Content)
class ContentAdmin(ConsoleAdmin):
    form = ContentForm
    list_display = ("content_id", "title", "year", "genre_list", "duration", "ordinal")
    list_display_links = ("content_id", "title")
    # By what is indexed, whatever the size of the catalogue.
    sortable_by = ("content_id", "ordinal")
    search_fields = ("content_id__startswith",)
    search_help_text = "The beginning of a content id, for example tt0133."
    fieldsets = (
        (None, {"fields": ("content_id", "title", "genres", "year")}),
        (
            "As the catalogue sent it",
            {"fields": ("ordinal", "duration", "vector", "updated_at")},
        ),
    )
    readonly_fields = ("content_id", "ordinal", "duration", "vector", "updated_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Content]:
        queryset: QuerySet[Content] = super().get_queryset(request)
        return queryset.defer("embedding")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the catalogue's own system knows a content's embedding."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        """A content's ordinal stands for it in messages, for ever."""
        return False

    @admin.display(description="genres", empty_value="–")
    def genre_list(self, content: Content) -> str | None:
        return ", ".join(content.genres) or None

    @admin.display(description="duration", empty_value="–")
    def duration(self, content: Content) -> str | None:
        return f"{content.duration_min} min" if content.duration_min else None

    @admin.display(description="embedding")
    def vector(self, content: Content) -> str:
        return f"{EMBEDDING_DIMENSIONS} numbers"

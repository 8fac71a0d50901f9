"""Which versions the published tables still hold, as a filter without a scan."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from federation import selectors
from federation.models import Publication

#: Versions offered by the filters; older ones are found through their round.
VERSIONS_OFFERED = 20


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

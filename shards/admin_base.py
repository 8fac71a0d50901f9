"""What every page of the console shares: bounded counts, read-only, confirmations.

Nothing here counts a large table: a list counts at most ``COUNT_LIMIT`` rows, and no
filter may run SELECT DISTINCT over one (so filters have fixed lookups).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action

from shards.exceptions import ConstellationError

#: Further than this nobody pages: search instead.
COUNT_LIMIT = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not at run time
    """Counts no further than ``COUNT_LIMIT``, whatever the table's size."""

    @cached_property
    def count(self) -> int:
        # Unordered, or counting would sort the whole table first.
        rows = cast("QuerySet[Any]", self.object_list).order_by()
        return rows[:COUNT_LIMIT].count()


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What an operator is asked before anything happens."""

    title: str
    #: What will happen, a sentence each.
    consequences: list[str]
    button: str
    is_dangerous: bool = False
    #: Rows named on the page.
    objects: list[str] = field(default_factory=list)


Method = TypeVar("Method", bound=Callable[..., HttpResponse])


def page_action(**options: Any) -> Callable[[Method], Method]:
    """Put a button on a page. It is unfold's ``action``, which has no types."""
    return cast("Callable[[Method], Method]", action(**options))


def is_confirmed(request: HttpRequest) -> bool:
    return request.method == "POST" and request.POST.get("confirmed") == "yes"


def cell(template_name: str, **context: Any) -> SafeString:
    """Render what one cell of a list shows."""
    return render_to_string(template_name, context)


def status_badge(text: str, tone: str) -> SafeString:
    return cell("console/badge.html", text=text, tone=tone)


def instant(moment: datetime | None) -> SafeString:
    """Show an instant and how long ago it was."""
    return cell("console/instant.html", moment=moment)


def thousands(field_name: str, description: str) -> Callable[[Any, Any], str]:
    """Make a column of a number with its thousands apart: 3,240,000."""

    @admin.display(description=description, ordering=field_name)
    def column(_admin: Any, obj: Any) -> str:
        return f"{getattr(obj, field_name):,}"

    return column


class ConsoleAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """A list and a page of one model, at any size."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the table once a choice
    list_per_page = 50
    list_fullwidth = True
    list_filter_sheet = False
    compressed_fields = True

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Leave out deletion: nothing here is deleted by ticking boxes."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        extra = dict(extra_context or {})
        obj = self.get_object(request, unquote(object_id))
        if obj is not None and self.has_view_permission(request, obj):
            extra |= {"title": str(obj), **self.page(request, obj)}
        response: HttpResponse = super().change_view(
            request, object_id, form_url, extra
        )
        return response

    def page(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Collect what ``change_form_template`` shows beside the form."""
        return {}

    def confirm(
        self, request: HttpRequest, confirmation: Confirmation, *, back_url: str = ""
    ) -> TemplateResponse:
        """Ask first. The page posts back to its own address, with the selection."""
        carried = [
            (name, value)
            for name, values in request.POST.lists()
            if name not in {"csrfmiddlewaretoken", "confirmed"}
            for value in values
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": confirmation.title,
            "confirmation": confirmation,
            "carried": carried,
            "back_url": back_url or self.list_url(),
        }
        return TemplateResponse(request, "console/confirm.html", context)

    def carry_out(
        self,
        request: HttpRequest,
        objects: Iterable[Model],
        *,
        act: Callable[[Any], str],
        done: str,
    ) -> None:
        """Do it to each, log each, and say how many; one failure stops no other.

        ``act`` returns what to write into the log. ``done`` is the participle of the
        message: "2 shards drained.".
        """
        done_count = 0
        for obj in objects:
            with self.refusals_shown(request, obj):
                self.log_change(request, obj, act(obj))
                done_count += 1
        if done_count:
            name = (
                self.opts.verbose_name
                if done_count == 1
                else self.opts.verbose_name_plural
            )
            self.message_user(request, f"{done_count} {name} {done}.", messages.SUCCESS)

    def one(
        self,
        request: HttpRequest,
        object_id: str,
        many: Callable[[HttpRequest, QuerySet[Any]], HttpResponse | None],
    ) -> HttpResponse:
        """Do to one what a list's action does to many, and return to its page."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}.")
        answer = many(request, self.get_queryset(request).filter(pk=obj.pk))
        return answer or HttpResponseRedirect(self.page_url(obj))

    @contextmanager
    def refusals_shown(self, request: HttpRequest, obj: Model | str) -> Iterator[None]:
        """Tell the operator why a service refused, instead of failing."""
        try:
            yield
        except ConstellationError as exc:
            self.message_user(request, f"{obj}: {exc}", messages.ERROR)

    def list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def page_url(self, obj: Model) -> str:
        return reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk]
        )


class ReadOnly:
    """For what federation owns: looked at here, changed by nothing but a round."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False


def these(chosen: list[Any]) -> str:
    """Name the one row chosen, or say how many of what."""
    if len(chosen) == 1:
        return str(chosen[0])
    return f"{len(chosen)} {chosen[0]._meta.verbose_name_plural}"

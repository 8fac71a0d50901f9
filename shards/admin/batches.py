"""Enrolment batches: their key is shown once, their end is an operator's decision."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant

from shards.admin_base import (
    Confirmation,
    ConsoleAdmin,
    cell,
    instant,
    is_confirmed,
    page_action,
    status_badge,
    these,
)
from shards.models import EnrolmentBatch
from shards.services import batches

BATCH_TONES = {
    EnrolmentBatch.Status.OPEN: "success",
    EnrolmentBatch.Status.CLOSED: "",
    EnrolmentBatch.Status.REVOKED: "danger",
}


@admin.register(EnrolmentBatch)
class EnrolmentBatchAdmin(ConsoleAdmin):
    list_display = ("name", "region_or_any", "state", "fill", "created")
    list_filter = ("status",)
    search_fields = ("name__startswith",)
    search_help_text = "The beginning of a batch's name."
    actions = ("close", "reopen", "revoke")
    actions_detail = ("close_this", "reopen_this", "revoke_this")
    fieldsets = ((None, {"fields": ("name", "region", "max_devices")}),)

    def get_fieldsets(self, request: HttpRequest, obj: Any | None = None) -> Any:
        if obj is None:
            return self.fieldsets
        so_far = {"fields": ("state", "fill", "created")}
        return (*self.fieldsets, ("So far", so_far))

    def get_readonly_fields(
        self, request: HttpRequest, obj: EnrolmentBatch | None = None
    ) -> tuple[str, ...]:
        return ("state", "fill", "created") if obj else ()

    def has_delete_permission(
        self, request: HttpRequest, obj: EnrolmentBatch | None = None
    ) -> bool:
        """Closed, not deleted: TVs name their batch, and looking whether any does
        would read the whole directory of TVs.
        """
        return False

    def has_revoke_permission(
        self, request: HttpRequest, obj: Any | None = None
    ) -> bool:
        """Cutting off every TV of a batch is an administrator's decision."""
        return request.user.has_perm("shards.delete_enrolmentbatch")

    @admin.display(description="region", ordering="region")
    def region_or_any(self, batch: EnrolmentBatch) -> str:
        return batch.region or "any"

    @admin.display(description="status", ordering="status")
    def state(self, batch: EnrolmentBatch) -> SafeString:
        tone = BATCH_TONES[EnrolmentBatch.Status(batch.status)]
        return status_badge(batch.get_status_display(), tone)

    @admin.display(description="created", ordering="created_at")
    def created(self, batch: EnrolmentBatch) -> SafeString:
        return instant(batch.created_at)

    @admin.display(description="TVs", ordering="device_count")
    def fill(self, batch: EnrolmentBatch) -> SafeString:
        share = batch.device_count / batch.max_devices if batch.max_devices else None
        return cell("console/batch_fill.html", batch=batch, share=share)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        # Whatever was pressed, the key would come next.
        one_button = {
            "show_save_and_add_another": False,
            "show_save_and_continue": False,
        }
        extra = {**(extra_context or {}), **one_button, "title": "New enrolment batch"}
        response: HttpResponse = super().add_view(request, form_url, extra)
        return response

    def save_model(
        self, request: HttpRequest, obj: EnrolmentBatch, form: Any, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made = batches.create_batch(
            name=obj.name, region=obj.region, max_devices=obj.max_devices
        )
        # The admin goes on with its own object, which thereby is the batch made.
        obj.__dict__.update(made.batch.__dict__)
        request.enrolment_key = made.enrolment_key  # type: ignore[attr-defined]

    def response_add(
        self,
        request: HttpRequest,
        obj: EnrolmentBatch,
        post_url_continue: str | None = None,
    ) -> HttpResponse:
        """Show the key in this one answer: a message would keep it in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{obj} is open",
            "batch": obj,
            "enrolment_key": request.enrolment_key,  # type: ignore[attr-defined]
            "batch_url": self.page_url(obj),
        }
        response = TemplateResponse(request, "console/new_batch.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Close: take no new TVs", permissions=["change"])
    def close(
        self, request: HttpRequest, queryset: QuerySet[EnrolmentBatch]
    ) -> HttpResponse | None:
        chosen = list(queryset)
        if not is_confirmed(request):
            return self.confirm(request, _closing(chosen))
        self.carry_out(request, chosen, act=_close, done="closed")
        return None

    @admin.action(description="Reopen: take new TVs again", permissions=["change"])
    def reopen(
        self, request: HttpRequest, queryset: QuerySet[EnrolmentBatch]
    ) -> HttpResponse | None:
        chosen = list(queryset)
        if not is_confirmed(request):
            return self.confirm(request, _reopening(chosen))
        self.carry_out(request, chosen, act=_reopen, done="reopened")
        return None

    @admin.action(description="Revoke: cut off all its TVs", permissions=["revoke"])
    def revoke(
        self, request: HttpRequest, queryset: QuerySet[EnrolmentBatch]
    ) -> HttpResponse | None:
        chosen = list(queryset)
        if not is_confirmed(request):
            return self.confirm(request, _revoking(chosen))

        def act(batch: EnrolmentBatch) -> str:
            return self._revoke(request, batch)

        self.carry_out(request, chosen, act=act, done="revoked")
        return None

    @page_action(description="Close", permissions=["change"], url_path="close")
    def close_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, self.close)

    @page_action(description="Reopen", permissions=["change"], url_path="reopen")
    def reopen_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, self.reopen)

    @page_action(
        description="Revoke",
        permissions=["revoke"],
        url_path="revoke",
        variant=ActionVariant.DANGER,
    )
    def revoke_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, self.revoke)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what the batch's status leaves to do."""
        batch = self.get_object(request, unquote(str(object_id)))
        offered = {
            EnrolmentBatch.Status.OPEN: ("close", "revoke"),
            EnrolmentBatch.Status.CLOSED: ("reopen", "revoke"),
            # Again, for the shards that didn't answer the first time.
            EnrolmentBatch.Status.REVOKED: ("revoke",),
        }
        paths = offered[EnrolmentBatch.Status(batch.status)] if batch else ()
        actions = super().get_actions_detail(request, object_id)
        return [each for each in actions if each.path in paths]

    def _revoke(self, request: HttpRequest, batch: EnrolmentBatch) -> str:
        revocation = batches.revoke_batch(batch)
        count = revocation.revoked_count
        outcome = f"{count:,} {'TV' if count == 1 else 'TVs'} revoked."
        self.message_user(request, f"{batch}: {outcome}", messages.SUCCESS)
        if not revocation.failed_shards:
            return outcome
        failed = ", ".join(map(str, revocation.failed_shards))
        warning = f"Shards {failed} didn't answer; revoke again once they do."
        self.message_user(request, f"{batch}: {warning}", messages.WARNING)
        return f"{outcome} {warning}"


def _closing(chosen: list[EnrolmentBatch]) -> Confirmation:
    return Confirmation(
        title=f"Close {these(chosen)}?",
        consequences=[
            "No new TV can enrol with the key.",
            f"The {_tv_count(chosen):,} TVs enrolled so far go on as before.",
        ],
        button="Close",
        objects=[str(batch) for batch in chosen],
    )


def _reopening(chosen: list[EnrolmentBatch]) -> Confirmation:
    return Confirmation(
        title=f"Reopen {these(chosen)}?",
        consequences=["Whoever has the key can enrol TVs again."],
        button="Reopen",
        objects=[str(batch) for batch in chosen],
    )


def _revoking(chosen: list[EnrolmentBatch]) -> Confirmation:
    return Confirmation(
        title=f"Revoke {these(chosen)}?",
        consequences=[
            f"{_tv_count(chosen):,} TVs are refused from their next sync on.",
            "No TV can enrol with the key, and the batch can't be reopened.",
            "What these TVs taught the fleet so far stays in what is published.",
            "Every shard is visited, which takes a while on a large fleet.",
        ],
        button="Revoke for good",
        is_dangerous=True,
        objects=[f"{batch}: {batch.device_count:,} TVs" for batch in chosen],
    )


def _tv_count(chosen: list[EnrolmentBatch]) -> int:
    return sum(batch.device_count for batch in chosen)


def _close(batch: EnrolmentBatch) -> str:
    batches.close_batch(batch)
    return "Closed."


def _reopen(batch: EnrolmentBatch) -> str:
    batches.reopen_batch(batch)
    return "Reopened."

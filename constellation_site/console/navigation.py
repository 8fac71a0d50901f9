"""The console's sidebar, in the order of a day: the fleet, what it learned, how."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from shards.models import Shard

#: Found by the command palette; more than this and one types on.
SHARDS_FOUND = 10


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    return [
        {
            "items": [
                _item(request, "Overview", "dashboard", "index", ""),
                _item(
                    request,
                    "Shards",
                    "database",
                    "shards_shard_changelist",
                    "shards.view_shard",
                ),
                _item(
                    request,
                    "Find a TV",
                    "tv",
                    "shards_devicehome_changelist",
                    "shards.view_device",
                ),
                _item(
                    request,
                    "Enrolment batches",
                    "key",
                    "shards_enrolmentbatch_changelist",
                    "shards.view_enrolmentbatch",
                ),
            ],
        },
        {
            "title": "What the fleet learned",
            "separator": True,
            "items": [
                _item(
                    request,
                    "Trends",
                    "trending_up",
                    "federation_trend_changelist",
                    "federation.view_trend",
                ),
                _item(
                    request,
                    "Global patterns",
                    "hub",
                    "federation_globalpattern_changelist",
                    "federation.view_globalpattern",
                ),
                _item(
                    request,
                    "Content",
                    "movie",
                    "patterns_content_changelist",
                    "patterns.view_content",
                ),
            ],
        },
        {
            "title": "Federation",
            "separator": True,
            "items": [
                _item(
                    request,
                    "Rounds",
                    "sync",
                    "federation_federationround_changelist",
                    "federation.view_federationround",
                ),
                _item(
                    request,
                    "Schedule",
                    "schedule",
                    "federation_schedule_changelist",
                    "federation.view_schedule",
                ),
                _item(
                    request,
                    "Workers",
                    "engineering",
                    "federation_worker_changelist",
                    "federation.view_worker",
                ),
                _item(
                    request,
                    "Quarantine",
                    "shield",
                    "federation_quarantine_changelist",
                    "federation.view_quarantine",
                ),
                _item(
                    request,
                    "Publications",
                    "publish",
                    "federation_publication_changelist",
                    "federation.view_publication",
                ),
                _item(
                    request,
                    "Codebooks",
                    "compress",
                    "federation_trainedcodebook_changelist",
                    "federation.view_trainedcodebook",
                ),
            ],
        },
        {
            "title": "Administration",
            "separator": True,
            "items": [
                _item(
                    request,
                    "Operators",
                    "person",
                    "auth_user_changelist",
                    "auth.view_user",
                ),
                _item(
                    request,
                    "Roles",
                    "group",
                    "auth_group_changelist",
                    "auth.view_group",
                ),
                _item(
                    request,
                    "What was done",
                    "history",
                    "admin_logentry_changelist",
                    "admin.view_logentry",
                ),
            ],
        },
    ]


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Answer the command palette: a TV by its whole id, a shard by its name."""
    results = []
    if (device_id := _uuid(term)) and request.user.has_perm("shards.view_device"):
        results.append(
            SearchResult(
                title=f"TV {device_id}",
                description="Look it up",
                link=reverse("admin:shards_devicehome_change", args=[device_id]),
                icon="tv",
            )
        )
    if request.user.has_perm("shards.view_shard"):
        shards = Shard.objects.filter(name__istartswith=term)[:SHARDS_FOUND]
        results += [
            SearchResult(
                title=shard.name,
                description=f"Shard {shard.id}, {shard.region}",
                link=reverse("admin:shards_shard_change", args=[shard.pk]),
                icon="database",
            )
            for shard in shards
        ]
    return results


def _item(
    request: HttpRequest, title: str, icon: str, view: str, permission: str
) -> dict[str, Any]:
    is_allowed = not permission or request.user.has_perm(permission)
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{view}"),
        "permission": lambda _request: is_allowed,
    }


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term.strip())
    except ValueError:
        return None

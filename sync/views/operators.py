"""``/api/v1/stats`` and ``/api/v1/shards``: what operators and their scripts read."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from shards import reaching, selectors
from shards.databases import served_shard_ids
from shards.models import Shard
from shards.observation import Visitor
from shards.services.operators import MAY_LOOK
from shards.statistics import ShardStatistics
from sync import fields, replies
from sync.authentication import callers
from sync.renderers import dumps
from sync.views.door import DoorViewSet

#: More digits than any shard has, and few enough to parse.
SHARD_ID_LENGTH = 5


class MayLook(BasePermission):
    """Any role may; TVs and accounts without a role may not."""

    def has_permission(self, request: Request, _view: APIView) -> bool:
        return bool(request.user and request.user.has_perm(MAY_LOOK))


class StatisticsViewSet(DoorViewSet):
    authentication_classes = callers()
    permission_classes = [MayLook]

    def list(self, request: Request) -> HttpResponse:
        """Ask the shards that this process serves; of others tell what was last seen.

        The same goes for a shard that doesn't answer: ``reachable`` is false then.
        """
        with reaching.control():
            shards = _asked_for(request.query_params.get("shard_id"))
        served = set(served_shard_ids())
        sightings = Visitor().visit(
            [shard.id for shard in shards if shard.id in served], now=timezone.now()
        )
        body = [
            _live(shard, seen)
            if (seen := sightings.get(shard.id)) is not None
            else _last_seen(shard, is_asked=shard.id in sightings)
            for shard in shards
        ]
        return replies.json(request, dumps(body))


class ShardViewSet(DoorViewSet):
    authentication_classes = callers()
    permission_classes = [MayLook]

    def list(self, request: Request) -> HttpResponse:
        with reaching.control():
            shards = list(Shard.objects.all())
        return replies.json(request, dumps([_described(shard) for shard in shards]))


def _asked_for(shard_id: str | None) -> list[Shard]:
    if shard_id is None:
        return list(Shard.objects.all())
    if not (shard_id.isascii() and shard_id.isdigit()) or (
        len(shard_id) > SHARD_ID_LENGTH
    ):
        fields.refuse("shard_id", "not a shard's number", "a shard's number, as 0")
    return [selectors.shard_numbered(int(shard_id))]


def _live(shard: Shard, seen: ShardStatistics) -> dict[str, Any]:
    return {
        "shard_id": shard.id,
        "total_devices": seen.total_devices,
        "active_devices": seen.active_devices,
        "patterns_stored": seen.patterns_stored,
        "sync_requests_per_min": round(seen.sync_requests_per_min, 3),
        "avg_sync_latency_ms": round(seen.avg_sync_latency_ms, 3),
        "reachable": True,
    }


def _last_seen(shard: Shard, *, is_asked: bool) -> dict[str, Any]:
    """Repeat what the observer wrote down; a shard that was asked didn't answer."""
    return {
        "shard_id": shard.id,
        "total_devices": shard.device_count,
        "active_devices": shard.active_device_count,
        "patterns_stored": shard.pattern_count,
        "sync_requests_per_min": round(shard.syncs_per_minute, 3),
        "avg_sync_latency_ms": round(shard.mean_latency_ms, 3),
        "reachable": shard.is_reachable and not is_asked,
    }


def _described(shard: Shard) -> dict[str, Any]:
    return {
        "id": shard.id,
        "name": shard.name,
        "region": shard.region,
        "devices": shard.device_count,
        "max_devices": shard.max_devices,
        "used_fraction": shard.used_fraction,
        "status": shard.status,
    }

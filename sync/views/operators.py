"""``/api/v1/stats`` and ``/api/v1/shards``: what operators and their scripts read."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from shards import reaching
from shards.models import Shard
from shards.services.operators import MAY_LOOK
from sync import cluster, fields, replies
from sync.authentication import callers
from sync.cluster import Standing
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
        shard_id = _shard_id(request.query_params.get("shard_id"))
        body = [_described(standing) for standing in cluster.standings(shard_id)]
        return replies.json(request, dumps(body))


class ShardViewSet(DoorViewSet):
    authentication_classes = callers()
    permission_classes = [MayLook]

    def list(self, request: Request) -> HttpResponse:
        with reaching.control():
            shards = list(Shard.objects.all())
        return replies.json(request, dumps([_capacity(shard) for shard in shards]))


def _shard_id(sent: str | None) -> int | None:
    if sent is None:
        return None
    is_number = sent.isascii() and sent.isdigit() and len(sent) <= SHARD_ID_LENGTH
    if not is_number:
        fields.refuse("shard_id", "not a shard's number", "a shard's number, as 0")
    return int(sent)


def _described(standing: Standing) -> dict[str, Any]:
    seen = standing.statistics
    return {
        "shard_id": standing.shard.id,
        "total_devices": seen.total_devices,
        "active_devices": seen.active_devices,
        "patterns_stored": seen.patterns_stored,
        "sync_requests_per_min": round(seen.sync_requests_per_min, 3),
        "avg_sync_latency_ms": round(seen.avg_sync_latency_ms, 3),
        "reachable": standing.is_reachable,
    }


def _capacity(shard: Shard) -> dict[str, Any]:
    return {
        "id": shard.id,
        "name": shard.name,
        "region": shard.region,
        "devices": shard.device_count,
        "max_devices": shard.max_devices,
        "used_fraction": shard.used_fraction,
        "status": shard.status,
    }

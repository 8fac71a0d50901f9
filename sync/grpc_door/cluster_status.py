"""``GetClusterStatus``: what operators and their scripts read."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework import exceptions as drf_exceptions
from rest_framework.authentication import TokenAuthentication
from rest_framework.request import Request

from constellation.v1 import status_pb2
from federation import selectors
from shards import reaching
from shards.models import Shard
from shards.services.operators import MAY_LOOK
from sync import cluster
from sync.authentication import DeviceAuthentication
from sync.cluster import Standing
from sync.protobuf.parsing import or_none, parsed
from sync.version import VERSION

_STATES = {
    Shard.Status.ACTIVE.value: status_pb2.ShardStatus.STATE_ACTIVE,
    Shard.Status.DRAINING.value: status_pb2.ShardStatus.STATE_DRAINING,
}


def check_may_look(authorization: str | None) -> None:
    """Ask what REST asks of its header; no session comes here."""
    http_request = HttpRequest()
    http_request.META["HTTP_AUTHORIZATION"] = authorization or ""
    request = Request(
        http_request, authenticators=[DeviceAuthentication(), TokenAuthentication()]
    )
    if not request.user.is_authenticated:
        raise drf_exceptions.NotAuthenticated
    if not request.user.has_perm(MAY_LOOK):
        raise drf_exceptions.PermissionDenied


def answer(body: bytes) -> bytes:
    request = parsed(status_pb2.GetClusterStatusRequest, body)
    shard_id = or_none(request, "shard_id")
    with reaching.control():
        global_version = selectors.current_version()
    message = status_pb2.ClusterStatus(
        version=VERSION,
        global_version=global_version,
        shards=[_described(standing) for standing in cluster.standings(shard_id)],
    )
    return message.SerializeToString()


def _described(standing: Standing) -> status_pb2.ShardStatus:
    shard, seen = standing.shard, standing.statistics
    return status_pb2.ShardStatus(
        shard_id=shard.id,
        name=shard.name,
        region=shard.region,
        state=_STATES[shard.status],
        max_devices=shard.max_devices,
        total_devices=seen.total_devices,
        active_devices=seen.active_devices,
        patterns_stored=seen.patterns_stored,
        sync_requests_per_min=round(seen.sync_requests_per_min, 3),
        avg_sync_latency_ms=round(seen.avg_sync_latency_ms, 3),
        reachable=standing.is_reachable,
    )

"""The endpoint of the peer."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db import transaction
from django.utils import timezone
from pgvector.django import CosineDistance
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.sync.naive.models import Device, GlobalPattern, Pattern, Trend
from benchmarks.sync.naive.serializers import SyncSerializer

GLOBAL_VERSION = 2
QUALITY_THRESHOLD = 0.7
SIMILAR = 100
TRENDS = 50


class SyncView(APIView):
    def post(self, request: Request) -> Response:
        serializer = SyncSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        sync = serializer.validated_data
        if sync["device_id"] != request.user.pk:
            return Response({}, status=status.HTTP_403_FORBIDDEN)

        with transaction.atomic():
            device = Device.objects.select_for_update().get(pk=sync["device_id"])
            if sync["base_version"] != device.local_version:
                return Response({}, status=status.HTTP_409_CONFLICT)
            stored = _add(device, sync["patterns_added"])
            updated = _update(device, sync["patterns_updated"])
            device.local_version = sync["local_version"]
            device.last_synced_at = timezone.now()
            device.save(update_fields=["local_version", "last_synced_at"])

        is_behind = sync["global_version"] != GLOBAL_VERSION
        return Response(
            {
                "accepted": {"stored": stored, "updated": updated},
                "local_version": device.local_version,
                "global_version": GLOBAL_VERSION,
                "similar": _similar(device) if is_behind else [],
                "trending": _trending(device) if is_behind else [],
            }
        )


def _add(device: Device, added: list[dict[str, Any]]) -> int:
    patterns = [
        Pattern(device=device, **each)
        for each in added
        if each["success_rate"] >= QUALITY_THRESHOLD
    ]
    Pattern.objects.bulk_create(
        patterns,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["embedding", "success_rate", "sample_count", "reported_at"],
    )
    return len(patterns)


def _update(device: Device, updates: list[dict[str, Any]]) -> int:
    news = {each["id"]: each for each in updates}
    # The vectors aren't needed, and are most of a row.
    stored = Pattern.objects.filter(device=device, pk__in=news)
    patterns = list(stored.defer("embedding"))
    for pattern in patterns:
        new = news[pattern.pk]
        n, k = pattern.sample_count, new["additional_samples"]
        rate = (pattern.success_rate * n + new["new_success_rate"] * k) / (n + k)
        pattern.success_rate, pattern.sample_count = rate, n + k
        pattern.reported_at = timezone.now()
    Pattern.objects.bulk_update(
        patterns, ["success_rate", "sample_count", "reported_at"]
    )
    return len(patterns)


def _similar(device: Device) -> list[GlobalPattern]:
    own = Pattern.objects.filter(device=device).values_list("embedding", flat=True)
    vectors = np.array(list(own), dtype=np.float32)
    if not len(vectors):
        return []
    nearest = GlobalPattern.objects.order_by(
        CosineDistance("embedding", vectors.mean(axis=0))
    )
    return list(nearest[:SIMILAR])


def _trending(device: Device) -> list[Trend]:
    return list(Trend.objects.filter(region=device.region)[:TRENDS])

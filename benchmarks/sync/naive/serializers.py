"""What a sync must look like."""

from __future__ import annotations

from typing import Any

import numpy as np
from rest_framework import serializers

from benchmarks.sync.naive.models import EMBEDDING_DIMENSIONS, Pattern

PATTERNS_LIMIT = 64


class EmbeddingField(serializers.Field[Any, Any, Any, Any]):
    """One check of the whole vector, not of each number."""

    def to_internal_value(self, data: Any) -> Any:
        if data.shape != (EMBEDDING_DIMENSIONS,) or not np.isfinite(data).all():
            raise serializers.ValidationError("384 finite numbers are needed.")
        norm = np.linalg.norm(data)
        if norm == 0:
            raise serializers.ValidationError("The vector has no direction.")
        return data / norm


class PatternSerializer(serializers.ModelSerializer[Pattern]):
    id = serializers.UUIDField()
    embedding = EmbeddingField()
    success_rate = serializers.FloatField(min_value=0, max_value=1)
    sample_count = serializers.IntegerField(min_value=1)

    class Meta:
        model = Pattern
        fields = [
            *("id", "embedding", "success_rate", "sample_count"),
            *("time_of_day", "day_of_week", "content_type"),
            *("genre_hints", "content_ids"),
        ]


class UpdateSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    new_success_rate = serializers.FloatField(min_value=0, max_value=1)
    additional_samples = serializers.IntegerField(min_value=0)


class SyncSerializer(serializers.Serializer[Any]):
    device_id = serializers.UUIDField()
    local_version = serializers.IntegerField(min_value=0)
    base_version = serializers.IntegerField(min_value=0)
    global_version = serializers.IntegerField(min_value=0)
    patterns_added = serializers.ListField(
        child=PatternSerializer(), max_length=PATTERNS_LIMIT
    )
    patterns_updated = serializers.ListField(
        child=UpdateSerializer(), max_length=PATTERNS_LIMIT
    )

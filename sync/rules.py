"""What holds for a request whatever it is written in.

A wire format reads its fields and asks here and in ``fields``; so every door has the
same limits, and names the same paths when it refuses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings

from patterns.context import (
    CONTENT_ID_LENGTH,
    CONTENT_IDS_LIMIT,
    GENRE_HINTS_LIMIT,
    GENRE_LENGTH,
)
from patterns.exceptions import TooManyPatterns
from shards.fields import REGION_ACCEPTED, is_region
from sync import fields
from sync.embeddings import SERVED_ENCODINGS, EmbeddingEncoding

#: Most encodings a TV may name; there are four.
PREFERENCES_LIMIT = 8

KEY_LENGTH = 128
PROFILE_LENGTH = 64  # of Device.model and Device.firmware


def check_pattern_count(count: int, *, at_least: str = "") -> None:
    """Refuse more than a sync may name; ``at_least`` if not all were counted."""
    limit = settings.PATTERNS_PER_SYNC
    if count > limit:
        raise TooManyPatterns(
            field="delta",
            problem=f"its lists name {at_least}{count} patterns",
            accepted=f"at most {limit} in the three lists together",
            limit=limit,
            limit_name="patterns_per_sync",
        )


def check_distinct(ids: Sequence[UUID], paths: Iterable[str]) -> None:
    fields.distinct(ids, (f"{path}.id" for path in paths))


def version(value: Any, field: str) -> int:
    return fields.whole_number(value, field, at_least=0, at_most=fields.VERSION_MAX)


def version_or_none(value: Any, field: str) -> int | None:
    return None if value is None else version(value, field)


def sample_count(value: Any, path: str) -> int:
    return fields.whole_number(
        value, f"{path}.sample_count", at_least=1, at_most=fields.SAMPLES_MAX
    )


def additional_samples(value: Any, path: str) -> int:
    return fields.whole_number(
        value, f"{path}.additional_samples", at_least=0, at_most=fields.SAMPLES_MAX
    )


def genre_hints(value: Any, path: str) -> tuple[str, ...]:
    return fields.texts(
        value, f"{path}.genre_hints", at_most=GENRE_HINTS_LIMIT, length=GENRE_LENGTH
    )


def content_ids(value: Any, path: str) -> tuple[str, ...]:
    return fields.texts(
        value,
        f"{path}.content_ids",
        at_most=CONTENT_IDS_LIMIT,
        length=CONTENT_ID_LENGTH,
    )


def embedding_encoding(preferences: Sequence[int]) -> EmbeddingEncoding:
    """Choose the first that can be served; who names none gets int8."""
    known = (EmbeddingEncoding.UNSPECIFIED, *SERVED_ENCODINGS)
    chosen = next((code for code in [*preferences, 0] if code in known), 0)
    if preferences and chosen not in preferences:
        fields.refuse(
            "embedding_encodings",
            "none of them can be served",
            "at least one of " + ", ".join(each.label for each in SERVED_ENCODINGS),
        )
    return EmbeddingEncoding(chosen or EmbeddingEncoding.INT8)


def enrolment_key(value: Any) -> str:
    return fields.text(value, "enrolment_key", at_most=KEY_LENGTH)


def region(value: Any) -> str:
    """Check a region's name; ``EU`` is ``eu``, and an empty one is none."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not is_region(value.lower()):
        fields.refuse("region", "not a region's name", REGION_ACCEPTED)
    return value.lower()


def label(value: Any, field: str) -> str:
    """Check a short text that operators will read."""
    if value is None or value == "":
        return ""
    text = fields.text(value, field, at_most=PROFILE_LENGTH)
    if any(unicodedata.category(character).startswith("C") for character in text):
        fields.refuse(
            field,
            "it holds a control character",
            f"1 to {PROFILE_LENGTH} characters, none of them a control character",
        )
    return text

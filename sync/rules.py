"""What holds for a request whatever it is written in.

A wire format reads its fields and asks here and in ``fields``; so every door has the
same limits, and names the same paths when it refuses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.conf import settings

from federation import holding
from federation.kernels.codebook import Codebook
from federation.publication import LoadedPublication
from patterns.context import (
    CONTENT_ID_LENGTH,
    CONTENT_IDS_LIMIT,
    GENRE_HINTS_LIMIT,
    GENRE_LENGTH,
    GENRE_PREFIX,
)
from patterns.exceptions import TooManyPatterns
from shards.fields import REGION_ACCEPTED, is_region
from sync import fields
from sync.embeddings import PLAIN_ENCODINGS, EmbeddingEncoding
from sync.exceptions import CodebookUnknown
from sync.messages import ReplyDetail, Wishes

#: Protobuf has 32 bits for it.
CODEBOOK_VERSION_MAX = 2**32 - 1

PLAIN_NAMES = ", ".join(each.label for each in PLAIN_ENCODINGS)

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


def check_distinct(ids: Sequence[bytes], paths: Iterable[str]) -> None:
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
    field = f"{path}.content_ids"
    names = fields.texts(
        value, field, at_most=CONTENT_IDS_LIMIT, length=CONTENT_ID_LENGTH
    )
    if any(map(is_genre, names)):
        for place, name in enumerate(value):
            check_content(name, f"{field}[{place}]")
    return names


def is_genre(item: str) -> bool:
    return item.startswith(GENRE_PREFIX)


def content_id(value: Any, field: str) -> str:
    name = fields.text(value, field, at_most=CONTENT_ID_LENGTH)
    check_content(name, field)
    return name


def check_content(item: str, field: str) -> None:
    """Refuse a genre: its ordinal and its trend would mean either."""
    if is_genre(item):
        fields.refuse(
            field,
            f"{GENRE_PREFIX} begins the names of genres",
            "a name that begins with something else",
        )


def wishes(
    *,
    preferences: Sequence[int],
    detail: int,
    codebook_version: Any,
    has_codebook: Callable[[], bool],
) -> Wishes:
    """Choose how to write a reply: by the first preference that can be served.

    It is asked only if codes are the one whether that codebook is understood here.
    """
    fields.whole_number(
        codebook_version, "codebook_version", at_least=0, at_most=CODEBOOK_VERSION_MAX
    )
    encoding = _encoding(
        preferences,
        can_code=lambda: codebook_version > 0 and has_codebook(),
    )
    version = codebook_version if encoding is EmbeddingEncoding.CODES else 0
    return _wishes(encoding, version, detail == ReplyDetail.COMPACT)


# TVs of one make all wish for the same.
@lru_cache(maxsize=256)
def _wishes(
    encoding: EmbeddingEncoding, codebook_version: int, is_compact: bool
) -> Wishes:
    return Wishes(
        embedding_encoding=encoding,
        codebook_version=codebook_version,
        is_compact=is_compact,
    )


def _encoding(
    preferences: Sequence[int], *, can_code: Callable[[], bool]
) -> EmbeddingEncoding:
    for code in preferences:
        if code != EmbeddingEncoding.CODES or can_code():
            return EmbeddingEncoding(code or EmbeddingEncoding.INT8)
    if preferences:
        fields.refuse(
            "embedding_encodings",
            "none of them can be served",
            f"at least one of {PLAIN_NAMES}, or codes with a codebook_version that is "
            "understood here",
        )
    return EmbeddingEncoding.INT8


def codebook(
    publication: LoadedPublication, codebook_version: int, field: str
) -> Codebook:
    """Give the codebook that a delta is written with."""
    found = publication.codebooks.get(codebook_version)
    if found is None and codebook_version > publication.codebooks.current:
        found = holding.newer_codebook(codebook_version)
    if found is None:
        known = ", ".join(map(str, publication.codebooks.versions))
        raise CodebookUnknown(
            field=field,
            sent=codebook_version,
            codebook_version=publication.codebooks.current,
            accepted=f"codes of {known}" if known else "no codes yet, but numbers",
            **({"known": known} if known else {}),
        )
    return found


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

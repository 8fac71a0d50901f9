"""A delta written column by column: ``PackedPatterns``.

Columns are checked as a whole; only what is refused is looked for one by one, and named
as if it stood in the lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct

from django.db.models import IntegerChoices

from constellation.v1 import pattern_pb2
from federation.publication import LoadedPublication
from patterns.context import (
    ContentType,
    DayOfWeek,
    TimeOfDay,
)
from patterns.delta import Additions, Updates
from sync import fields, rules
from sync.fields import UUID_BYTES
from sync.protobuf import vectors
from sync.protobuf.references import References

#: Steps of a rate.
RATE_STEPS = 10_000

_PACKED = "delta.packed"

_ID_COLUMNS = ("added_ids", "updated_ids", "removed_ids")

Lists = tuple[Additions, Updates, Sequence[bytes]]


def read(
    message: pattern_pb2.PackedPatterns,
    publication: Callable[[], LoadedPublication],
) -> Lists:
    """Read the three lists: additions, updates, removals."""
    columns = message.added_ids, message.updated_ids, message.removed_ids
    # Before any is looked at: there may be thousands.
    rules.check_pattern_count(sum(map(_id_count, columns, _ID_COLUMNS)))
    added, updated, removed = map(_ids, columns)
    _check_distinct(removed, "delta.patterns_removed[{}]")
    return (
        _additions(message, added, publication),
        _updates(message, updated),
        removed,
    )


def _additions(
    message: pattern_pb2.PackedPatterns,
    ids: Sequence[bytes],
    publication: Callable[[], LoadedPublication],
) -> Additions:
    count = len(ids)
    paths, embeddings, contexts = _paths_of_additions(count)
    sent = vectors.of_column(message.embeddings, embeddings, publication=publication)
    rates = _rates(message.success_rates, paths, "success_rates", "success_rate")
    sample_counts = _numbers(message.sample_counts, count, "sample_counts")
    if (
        count
        and not 1 <= min(sample_counts) <= max(sample_counts) <= fields.SAMPLES_MAX
    ):
        for number, path in zip(sample_counts, paths, strict=True):
            rules.sample_count(number, path)
    references = References(message.names, publication)
    additions = Additions(
        ids,
        sent.rows,
        rates,
        sample_counts,
        _enums(message.times_of_day, contexts, "times_of_day", TimeOfDay),
        _enums(message.days_of_week, contexts, "days_of_week", DayOfWeek),
        _enums(message.content_types, contexts, "content_types", ContentType),
        *references.read(message.genre_hints, message.content_ids, contexts),
        sent.codes,
    )
    _check_distinct(ids, "delta.patterns_added[{}].id")
    return additions


def _updates(message: pattern_pb2.PackedPatterns, ids: Sequence[bytes]) -> Updates:
    paths = _paths("delta.patterns_updated[{}]", len(ids))
    rates = _rates(
        message.new_success_rates, paths, "new_success_rates", "new_success_rate"
    )
    samples = _numbers(message.additional_samples, len(ids), "additional_samples")
    if samples and max(samples) > fields.SAMPLES_MAX:
        for number, path in zip(samples, paths, strict=True):
            rules.additional_samples(number, path)
    _check_distinct(ids, "delta.patterns_updated[{}].id")
    return Updates(ids, rates, samples)


# Columns


def _id_count(column: bytes, name: str) -> int:
    if len(column) % UUID_BYTES:
        fields.refuse(
            f"{_PACKED}.{name}",
            f"it has {len(column)} bytes",
            f"UUIDs of {UUID_BYTES} bytes each",
        )
    return len(column) // UUID_BYTES


def _ids(column: bytes) -> tuple[bytes, ...]:
    return _struct_of_ids(len(column) // UUID_BYTES).unpack(column)


@cache
def _struct_of_ids(count: int) -> Struct:
    """Say where ids begin; count is within ``PATTERNS_PER_SYNC``."""
    return Struct(f"{UUID_BYTES}s" * count)


def _check_distinct(ids: Sequence[bytes], path: str) -> None:
    if len(set(ids)) != len(ids):
        fields.distinct(ids, _paths(path, len(ids)))


@cache
def _paths_of_additions(count: int) -> tuple[Sequence[str], ...]:
    """Write the paths of additions, of their embeddings and of their contexts."""
    path = "delta.patterns_added[{}]"
    return tuple(_paths(path + end, count) for end in ("", ".embedding", ".context"))


@cache
def _paths(path: str, count: int) -> Sequence[str]:
    """Write paths for so many entries; count is within ``PATTERNS_PER_SYNC``."""
    return tuple(path.format(i) for i in range(count))


def _numbers(column: Sequence[int], count: int, name: str) -> Sequence[int]:
    if len(column) != count:
        fields.refuse(
            f"{_PACKED}.{name}",
            f"it has {len(column)} numbers",
            f"{count}, one for each id",
        )
    return column[:]


def _rates(
    column: Sequence[int], paths: Sequence[str], name: str, field: str
) -> list[float]:
    numbers = _numbers(column, len(paths), name)
    if numbers and max(numbers) > RATE_STEPS:
        row = next(i for i, number in enumerate(numbers) if number > RATE_STEPS)
        fields.refuse(
            f"{paths[row]}.{field}",
            "out of range",
            f"a number from 0 to 1, in ten-thousandths 0 to {RATE_STEPS}",
        )
    # Rounded to the double that the decimal names: 0.83 is JSON's 0.83.
    return [number / RATE_STEPS for number in numbers]


def _enums(
    column: bytes, paths: Sequence[str], name: str, choices: type[IntegerChoices]
) -> bytes:
    if not column:
        return bytes(len(paths))
    if len(column) != len(paths):
        fields.refuse(
            f"{_PACKED}.{name}",
            f"it has {len(column)} bytes",
            f"{len(paths)}, one for each of added_ids, or none",
        )
    if column.strip(_codes(choices)):
        for code, path in zip(column, paths, strict=True):
            fields.code(code, f"{path}.{_FIELDS[name]}", choices)
    return column


@cache
def _codes(choices: type[IntegerChoices]) -> bytes:
    return bytes(choices)


_FIELDS = {
    "times_of_day": "time_of_day",
    "days_of_week": "day_of_week",
    "content_types": "content_type",
}

"""A delta, written as three lists or packed."""

from __future__ import annotations

from collections.abc import Callable

from constellation.v1 import pattern_pb2
from federation.publication import LoadedPublication
from patterns.delta import Additions, Delta, Updates
from sync import fields, rules
from sync.protobuf import lists, packed
from sync.protobuf.parsing import or_none


def read(
    message: pattern_pb2.Delta | None,
    *,
    base_version: int | None,
    publication: Callable[[], LoadedPublication],
) -> Delta:
    if message is None:
        fields.refuse("delta", "missing", "an object")
    local_version = rules.version(
        or_none(message, "local_version"), "delta.local_version"
    )
    read_lists = _packed if message.HasField("packed") else _listed
    added, updated, removed = read_lists(message, publication)
    return Delta(
        added=added,
        updated=updated,
        removed=removed,
        local_version=local_version,
        base_version=base_version,
    )


def _listed(
    message: pattern_pb2.Delta, publication: Callable[[], LoadedPublication]
) -> packed.Lists:
    added, updated = message.patterns_added, message.patterns_updated
    removed = message.patterns_removed
    count = len(added) + len(updated) + len(removed)
    if count == 0:
        return Additions(), Updates(), ()
    rules.check_pattern_count(count)
    return (
        lists.additions(
            added, codebook_version=message.codebook_version, publication=publication
        ),
        lists.updates(updated),
        lists.removals(removed),
    )


def _packed(
    message: pattern_pb2.Delta, publication: Callable[[], LoadedPublication]
) -> packed.Lists:
    if message.patterns_added or message.patterns_updated or message.patterns_removed:
        fields.refuse(
            "delta.packed",
            "the delta has lists as well",
            "either the three lists or packed",
        )
    return packed.read(message.packed, publication)

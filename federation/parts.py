"""What the steps of a round gave, in the control database: checked and compressed.

A part is written once, under a name, and never changes: a second writer leaves what is
there. Parts of the newest rounds are kept, so that their merge can be done again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, TypeVar

import zstandard
from django.db.models import Sum

from federation.exceptions import PartDamaged
from federation.kernels.serialising import from_bytes, to_bytes
from federation.models import FederationRound, RoundPart, RoundUnit

T = TypeVar("T")

#: Rounds whose parts and units stay.
KEPT_ROUNDS = 3

#: Numbers in planes shrink about as far at 3 as at 19, fifty times as fast.
_ZSTD_LEVEL = 3


def name_of(step: str, shard_id: int) -> str:
    """Name what a step gave on one shard."""
    return f"{step}/{shard_id}"


def digest_of(value: Any) -> str:
    """SHA-256, in hexadecimal, that a part with this value has."""
    return sha256(to_bytes(value)).hexdigest()


def packed(round_id: int, name: str, value: Any) -> RoundPart:
    """Make a part, to be stored."""
    data = to_bytes(value)
    return RoundPart(
        round_id=round_id,
        name=name,
        sha256=sha256(data).hexdigest(),
        size_bytes=len(data),
        zstd=zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data),
    )


def store(part: RoundPart) -> None:
    """Write a part unless it is there; the caller's transaction holds the fence."""
    RoundPart.objects.bulk_create([part], ignore_conflicts=True)


def digests(round_id: int) -> dict[str, str]:
    """Take the SHA-256 of each part's bytes anew, whatever its row says."""
    return {
        row.name: _digest_of_bytes(row)
        for row in RoundPart.objects.filter(round_id=round_id).iterator(chunk_size=1)
    }


def load(kind: type[T], round_id: int, name: str) -> T | None:
    """Read a part back; None if it isn't there. Raises ``PartDamaged``."""
    row = RoundPart.objects.filter(round_id=round_id, name=name).first()
    if row is None:
        return None
    data = _bytes_of(row)
    if data is None or sha256(data).hexdigest() != row.sha256:
        raise PartDamaged(round=round_id, name=name)
    return from_bytes(kind, data)


def size_bytes(round_id: int) -> int:
    """How large a round's parts are before they are compressed."""
    total: int = RoundPart.objects.filter(round_id=round_id).aggregate(
        total=Sum("size_bytes", default=0)
    )["total"]
    return total


def delete_unneeded() -> None:
    """Delete parts and units but those of the newest rounds and of a running one.

    Samples go when their round is over: they are patterns of TVs, and a TV that was
    forgotten may be in them. All other parts are sums.
    """
    RoundPart.objects.filter(name__startswith=f"{RoundUnit.Step.SAMPLING}/").exclude(
        round__status=FederationRound.Status.RUNNING
    ).delete()
    kept = FederationRound.objects.filter(rollback_of=None).values_list("pk", flat=True)
    oldest = min(kept[:KEPT_ROUNDS], default=0)
    for model in (RoundPart, RoundUnit):
        model.objects.filter(round_id__lt=oldest).exclude(
            round__status=FederationRound.Status.RUNNING
        ).delete()


def _bytes_of(row: RoundPart) -> bytes | None:
    """What was compressed; None if that can't be told any more."""
    decompressor = zstandard.ZstdDecompressor()
    try:
        return decompressor.decompress(bytes(row.zstd), max_output_size=row.size_bytes)
    except zstandard.ZstdError:
        return None


def _digest_of_bytes(row: RoundPart) -> str:
    data = _bytes_of(row)
    return "bytes that can't be read" if data is None else sha256(data).hexdigest()

"""Shards: made for the databases there are, drained, taken back into service."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count

from django.conf import settings
from django.db import IntegrityError, transaction

from shards.databases import CONTROL_ALIAS, configured_shard_ids
from shards.exceptions import NameTaken
from shards.models import Shard
from shards.stars import STARS


def ensure_shards() -> list[Shard]:
    """Have a shard for every database; those that exist stay as operators made them.

    New ones get ``settings.REGION``, ``settings.MAX_DEVICES`` and a star's name.
    """
    for shard_id in configured_shard_ids():
        if not Shard.objects.filter(pk=shard_id).exists():
            add_shard(shard_id=shard_id)
    return list(Shard.objects.all())


def add_shard(
    *,
    shard_id: int,
    name: str = "",
    region: str = "",
    max_devices: int | None = None,
    sync_url: str = "",
    grpc_target: str = "",
    status: Shard.Status = Shard.Status.ACTIVE,
) -> Shard:
    """Make a shard; two processes that make the same one get the same one."""
    name = name or _free_star(shard_id)
    try:
        with transaction.atomic(using=CONTROL_ALIAS):
            shard, _ = Shard.objects.get_or_create(
                id=shard_id,
                defaults={
                    "name": name,
                    "region": region or settings.REGION,
                    "max_devices": max_devices or settings.MAX_DEVICES,
                    "sync_url": sync_url,
                    "grpc_target": grpc_target,
                    "status": status,
                },
            )
    except IntegrityError as exc:
        raise NameTaken(kind="shard", name=name) from exc
    return shard


def drain_shard(shard: Shard) -> None:
    """Send no new TVs there; those it has are answered as before."""
    _set_status(shard, Shard.Status.DRAINING)


def activate_shard(shard: Shard) -> None:
    _set_status(shard, Shard.Status.ACTIVE)


def _set_status(shard: Shard, status: Shard.Status) -> None:
    Shard.objects.filter(pk=shard.pk).update(status=status)
    shard.status = status


def _free_star(shard_id: int) -> str:
    """Name a shard for its number; the next free star if an operator used that one."""
    taken = {name.lower() for name in Shard.objects.values_list("name", flat=True)}
    names: Iterator[str] = chain(
        STARS[shard_id:], STARS, (f"Star {number}" for number in count(shard_id))
    )
    return next(name for name in names if name.lower() not in taken)

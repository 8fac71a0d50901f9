"""Which database holds what: aliases of shards, and where a model's rows live.

Nothing reads an ambient "current shard": whoever touches one passes its alias.
"""

from __future__ import annotations

from enum import Enum

from django.conf import settings

CONTROL_ALIAS = "default"


class LivesOn(Enum):
    """Where the rows of a model are; each model says it as ``lives_on``."""

    #: One copy, in the control database.
    CONTROL = "control"
    #: Split over the shards; every query names one by its alias.
    SHARD = "shard"
    #: Published: the control database has the master, each shard its copy.
    EVERYWHERE = "everywhere"


def shard_alias(shard_id: int) -> str:
    """Name the database of a shard, as in ``settings.DATABASES``."""
    return f"shard_{shard_id:03d}"


def shard_id_of(alias: str) -> int:
    """Tell the number of the shard behind an alias."""
    return int(alias.removeprefix("shard_"))


def is_shard_alias(alias: str) -> bool:
    return alias.startswith("shard_")


def configured_shard_ids() -> list[int]:
    """List the shards that this installation has a database for."""
    return sorted(shard_id_of(a) for a in settings.DATABASES if is_shard_alias(a))


def is_served(shard_id: int) -> bool:
    """Tell whether this process answers the TVs of a shard."""
    if settings.SHARD_IDS is not None and shard_id not in settings.SHARD_IDS:
        return False
    return shard_alias(shard_id) in settings.DATABASES


def served_shard_ids() -> list[int]:
    """List the shards whose TVs this process answers (``SHARD_IDS`` narrows it)."""
    if settings.SHARD_IDS is None:
        return configured_shard_ids()
    return [i for i in configured_shard_ids() if i in settings.SHARD_IDS]

"""Rules between settings, as Django system checks: each says what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004
from django.db import connections

from shards.databases import configured_shard_ids
from shards.fields import REGION_ACCEPTED, is_region

W_TOO_FEW_SHARDS = "constellation.W001"
W_QUALITY_ORDER = "constellation.W002"
E_UNKNOWN_SHARD_IDS = "constellation.E001"
E_PGVECTOR_TOO_OLD = "constellation.E002"
E_REGION = "constellation.E003"
E_GRPC_TLS = "constellation.E004"

OLDEST_PGVECTOR = (0, 8)


@register
def enough_shards_for_a_source_count(**_: Any) -> list[CheckMessage]:
    shard_count = len(configured_shard_ids())
    if shard_count >= settings.MIN_SOURCE_COUNT:
        return []
    return [
        Warning(
            f"MIN_SOURCE_COUNT is {settings.MIN_SOURCE_COUNT}, but there are only "
            f"{shard_count} shards: no round can publish anything.",
            hint=f"Add shards, or set MIN_SOURCE_COUNT={max(1, shard_count)}.",
            id=W_TOO_FEW_SHARDS,
        )
    ]


@register
def stored_quality_is_not_above_the_federated(**_: Any) -> list[CheckMessage]:
    if settings.QUALITY_THRESHOLD <= settings.MIN_QUALITY_THRESHOLD:
        return []
    return [
        Warning(
            f"QUALITY_THRESHOLD ({settings.QUALITY_THRESHOLD}) is above "
            f"MIN_QUALITY_THRESHOLD ({settings.MIN_QUALITY_THRESHOLD}), which then "
            "holds nothing back.",
            hint=f"Set MIN_QUALITY_THRESHOLD={settings.QUALITY_THRESHOLD} or more.",
            id=W_QUALITY_ORDER,
        )
    ]


@register
def served_shards_have_databases(**_: Any) -> list[CheckMessage]:
    unknown = sorted((settings.SHARD_IDS or set()) - set(configured_shard_ids()))
    if not unknown:
        return []
    return [
        Error(
            f"SHARD_IDS names shards without a database: {unknown}.",
            hint=f"SHARD_POSTGRES_URLS has these: {configured_shard_ids()}.",
            id=E_UNKNOWN_SHARD_IDS,
        )
    ]


@register
def region_is_one_that_tvs_can_name(**_: Any) -> list[CheckMessage]:
    if is_region(settings.REGION):
        return []
    return [
        Error(
            f"REGION is {settings.REGION!r}. Accepted: {REGION_ACCEPTED}.",
            hint="No TV could be in such a region, so its shards would stay empty.",
            id=E_REGION,
        )
    ]


@register
def certificate_comes_with_its_key(**_: Any) -> list[CheckMessage]:
    files = {
        name: getattr(settings, name)
        for name in ("GRPC_TLS_CERT_FILE", "GRPC_TLS_KEY_FILE")
    }
    missing = [name for name, file in files.items() if file is None]
    if len(missing) == 1:
        problem = f"{missing[0]} is not set, but its other half is."
    elif gone := [f"{name} ({file})" for name, file in files.items() if _is_gone(file)]:
        problem = f"There is no file at {' and '.join(gone)}."
    else:
        return []
    return [
        Error(
            problem,
            hint="Set both to PEM files, or neither if a proxy in front ends TLS.",
            id=E_GRPC_TLS,
        )
    ]


def _is_gone(file: Path | None) -> bool:
    return file is not None and not file.is_file()


@register("database")
def pgvector_is_recent_enough(**options: Any) -> list[CheckMessage]:
    """Runs with ``check --database`` and before ``migrate``."""
    problems: list[CheckMessage] = []
    for alias in options.get("databases") or []:
        version = _pgvector_version(alias)
        if version is None or _as_numbers(version) < OLDEST_PGVECTOR:
            problems.append(
                Error(
                    f"Database {alias} has pgvector {version or 'not at all'}; "
                    "0.8 or newer is needed.",
                    hint="Install pgvector on that PostgreSQL server.",
                    id=E_PGVECTOR_TOO_OLD,
                )
            )
    return problems


def _pgvector_version(alias: str) -> str | None:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = %s",
            ["vector"],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])

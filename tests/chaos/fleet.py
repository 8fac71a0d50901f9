"""TVs of a chaos run, drawn from its seed, and what rounds make of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from django.apps import apps
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone

from federation.models import FederationRound, RoundUnit
from shards.models import Shard
from tests.chaos.installation import SHARD_COUNT
from tests.federation import fleets

TV_COUNT = 100
#: TVs that come before each further round, so that no round is like another.
NEWCOMER_COUNT = 10
TASTE_COUNT = 4


@dataclass(frozen=True)
class Told:
    """What became of a round."""

    round_id: int
    status: str
    checksum: str
    term: int
    problem: str
    step: str
    settled_count: int

    @property
    def is_over(self) -> bool:
        return self.status != FederationRound.Status.RUNNING


def begin_again() -> None:
    """Empty all databases, and open the shards."""
    for alias in connections:
        tables = [
            model._meta.db_table
            for model in apps.get_models(include_auto_created=True)
            if model._meta.app_label in ("federation", "patterns", "shards")
        ]
        with connections[alias].cursor() as cursor:
            there = connections[alias].introspection.table_names(cursor)
            names = ", ".join(f'"{name}"' for name in tables if name in there)
            cursor.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    fleets.make_shards(SHARD_COUNT)


def enrol(seed: int, round_number: int) -> None:
    """Store the TVs that come before a round: the same for the same seed."""
    planted = fleets.plant(
        tv_count=TV_COUNT if round_number == 1 else NEWCOMER_COUNT,
        taste_count=TASTE_COUNT,
        seed=seed * 1_000 + round_number,
    )
    now = replace(planted, reported_at=timezone.now())
    fleets.store(now, list(Shard.objects.order_by("pk")))


def newest_id() -> int:
    """The number of the newest round; 0 before the first."""
    told = FederationRound.objects.first()
    return told.pk if told is not None else 0


def first_after(round_id: int) -> Told | None:
    """How far the round is that followed; None before there is one."""
    later = FederationRound.objects.filter(pk__gt=round_id)
    told = later.order_by("pk").first()
    if told is None:
        return None
    units = told.units.filter(step=told.step, settled_at__isnull=False)
    return Told(
        round_id=told.pk,
        status=told.status,
        checksum=told.checksum,
        term=told.term,
        problem=told.problem,
        step=told.step,
        settled_count=units.count(),
    )


def let_leases_run_out() -> None:
    """As if the processes that held them had been gone for long."""
    over = Now() - timedelta(seconds=1)
    FederationRound.objects.filter(status="running").update(lease_until=over)
    RoundUnit.objects.filter(status="claimed").update(lease_until=over)


def let_go() -> None:
    """Close this process's sessions: their servers may be gone."""
    connections.close_all()

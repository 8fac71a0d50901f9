"""The first page: what needs attention, how full the shards are, what is trending.

A few queries on small tables of the control database, however large the fleet: shards
are seen through what the observer wrote down, and none of them is visited.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from federation import selectors
from federation.admin.rounds import MISFITS, round_tone
from federation.models import FederationRound, Publication, Trend
from patterns.display import title_of_item, titles_of
from shards.condition import NEARLY_FULL_FRACTION, Sight, sight_of
from shards.models import Shard
from shards.templatetags.console import percent, span

#: The fullest; the list has them all.
SHARDS_SHOWN = 12
TRENDS_SHOWN = 5
REGIONS_SHOWN = 8

#: Rounds may miss one turn before anybody is told.
INTERVALS_BEFORE_WARNING = 2

NAMES_SHOWN = 3

#: What a round has some of without anybody lying, as a share of its patterns.
USUAL_MISFITS = ("held_cells", "waiting_cells")
USUAL_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """All shards together, as the observer saw them last."""

    device_count: int
    capacity: int
    active_device_count: int
    pattern_count: int
    syncs_per_minute: float
    mean_latency_ms: float
    #: The oldest of the latest observations; None before the first.
    observed_at: datetime | None

    @property
    def used_fraction(self) -> float:
        return self.device_count / self.capacity if self.capacity else 0.0


@dataclass(frozen=True, kw_only=True)
class Concern:
    """Something that an operator should look at, and the page that shows it."""

    tone: str
    icon: str
    text: str
    detail: str
    url: str


@dataclass(frozen=True, kw_only=True)
class TrendRow:
    trend: Trend
    title: str


def context(request: HttpRequest, base: dict[str, Any]) -> dict[str, Any]:
    """Fill the admin's index; called by unfold as DASHBOARD_CALLBACK."""
    if not request.user.has_perm("shards.view_shard"):
        return base
    now = timezone.now()
    shards = list(Shard.objects.all())
    publication = Publication.objects.filter(is_current=True).first()
    # Only one can run, so that one of two is finished.
    last_rounds = list(FederationRound.objects.all()[:2])
    last_round = last_rounds[0] if last_rounds else None
    by_use = sorted(shards, key=lambda shard: (-shard.used_fraction, shard.id))
    return {
        **base,
        "title": "Overview",
        "fleet": fleet_of(shards),
        "publication": publication,
        "last_round": last_round,
        "last_round_tone": round_tone(last_round) if last_round else "",
        "concerns": [
            *shard_concerns(shards, now=now),
            *federation_concerns(last_rounds, publication, now=now),
            *trend_concerns(),
        ],
        "fullest_shards": by_use[:SHARDS_SHOWN],
        "shard_count": len(shards),
        "trends_by_region": trends_by_region(),
    }


def fleet_of(shards: list[Shard]) -> Fleet:
    syncs_per_minute = sum(shard.syncs_per_minute for shard in shards)
    observations = [shard.observed_at for shard in shards if shard.observed_at]
    # A shard that answers a hundred times as many counts a hundred times as much.
    latency = sum(shard.mean_latency_ms * shard.syncs_per_minute for shard in shards)
    return Fleet(
        device_count=sum(shard.device_count for shard in shards),
        capacity=sum(shard.max_devices for shard in shards),
        active_device_count=sum(shard.active_device_count for shard in shards),
        pattern_count=sum(shard.pattern_count for shard in shards),
        syncs_per_minute=syncs_per_minute,
        mean_latency_ms=latency / syncs_per_minute if syncs_per_minute else 0.0,
        observed_at=min(observations, default=None),
    )


def shard_concerns(shards: list[Shard], *, now: datetime) -> list[Concern]:
    url = reverse("admin:shards_shard_changelist")
    if not shards:
        return [
            Concern(
                tone="warning",
                icon="database",
                text="There is no shard yet",
                detail="TVs can't enrol. `manage.py shard add` makes one.",
                url=url,
            )
        ]
    sights = [(shard, sight_of(shard, now=now)) for shard in shards]
    unreachable = [s for s, sight in sights if sight is Sight.UNREACHABLE]
    unobserved = [s for s, sight in sights if sight in (Sight.STALE, Sight.UNSEEN)]
    nearly_full = [s for s in shards if s.used_fraction >= NEARLY_FULL_FRACTION]
    concerns = []
    if unreachable:
        concerns.append(
            Concern(
                tone="danger",
                icon="link_off",
                text=f"{_count(unreachable)} unreachable",
                detail=f"{_names(unreachable)}: their TVs can't sync.",
                url=f"{url}?condition=unreachable",
            )
        )
    if unobserved:
        concerns.append(
            Concern(
                tone="warning",
                icon="visibility_off",
                text=f"{_count(unobserved)} not observed lately",
                detail="Their figures are old. Is `manage.py observe` running?",
                url=f"{url}?condition=stale",
            )
        )
    if nearly_full:
        concerns.append(
            Concern(
                tone="warning",
                icon="storage",
                text=f"{_count(nearly_full)} more than "
                f"{percent(NEARLY_FULL_FRACTION)} full",
                detail=f"{_names(nearly_full)}: add a shard before TVs are refused.",
                url=f"{url}?condition=nearly_full",
            )
        )
    return concerns


def federation_concerns(
    last_rounds: list[FederationRound],
    publication: Publication | None,
    *,
    now: datetime,
) -> list[Concern]:
    url = reverse("admin:federation_federationround_changelist")
    concerns = []
    for last_round in last_rounds:
        if concern := _round_concern(last_round, now=now):
            concerns.append(concern)
        if last_round.status != FederationRound.Status.RUNNING:
            concerns += _misfits(last_round)
            break
    interval = timedelta(seconds=settings.FEDERATION_INTERVAL_SECS)
    if publication is None:
        concerns.append(
            Concern(
                tone="info",
                icon="publish",
                text="Nothing is published yet",
                detail="TVs get no global patterns before the first round.",
                url=url,
            )
        )
    elif (age := now - publication.published_at) > INTERVALS_BEFORE_WARNING * interval:
        concerns.append(
            Concern(
                tone="warning",
                icon="schedule",
                text=f"Nothing was published for {span(age)}",
                detail=f"A round is due every {span(interval)}.",
                url=url,
            )
        )
    return concerns


def trend_concerns() -> list[Concern]:
    """Tell of what one batch or one shard makes rise, as somebody might want to."""
    carried_count = (
        Trend.objects.filter(
            version=selectors.current_version(),
            kind__in=(Trend.Kind.NEW, Trend.Kind.RISING),
        )
        .exclude(carrying_batch=None, carrying_shard=None)
        .count()
    )
    if not carried_count:
        return []
    are = "trend comes" if carried_count == 1 else "trends come"
    return [
        Concern(
            tone="warning",
            icon="crisis_alert",
            text=f"{carried_count} {are} from one batch or shard",
            detail="Far more than its size explains. Does somebody push it?",
            url=reverse("admin:federation_trend_changelist") + "?carried_by=any",
        )
    ]


def trends_by_region() -> list[tuple[str, list[TrendRow]]]:
    """List the strongest trends of each region; the current version's, a few rows."""
    trends = list(
        Trend.objects.filter(
            version=selectors.current_version(), rank__lte=TRENDS_SHOWN
        )
        .exclude(kind=Trend.Kind.FADING)
        .order_by("region", "rank")
    )
    regions: dict[str, list[Trend]] = {}
    for trend in trends:
        regions.setdefault(trend.region, []).append(trend)
    shown = list(regions.items())[:REGIONS_SHOWN]
    titles = titles_of(trend.item for _, rows in shown for trend in rows)
    return [
        (
            region,
            [
                TrendRow(trend=trend, title=title_of_item(trend.item, titles))
                for trend in rows
            ],
        )
        for region, rows in shown
    ]


def _round_concern(last_round: FederationRound, *, now: datetime) -> Concern | None:
    url = reverse("admin:federation_federationround_change", args=[last_round.pk])
    match last_round.status:
        case FederationRound.Status.ABANDONED:
            return Concern(
                tone="danger",
                icon="error",
                text=f"{last_round} was abandoned",
                detail=last_round.problem or "TVs keep the version before.",
                url=url,
            )
        case FederationRound.Status.PARTIAL:
            return Concern(
                tone="warning",
                icon="warning",
                text=f"{last_round} was published without some shards",
                detail=last_round.problem or "Its page names them.",
                url=url,
            )
        case FederationRound.Status.RUNNING if last_round.lease_until < now:
            return Concern(
                tone="warning",
                icon="hourglass_disabled",
                text=f"{last_round} has stopped",
                detail="Whoever ran it is gone; the next round takes over.",
                url=url,
            )
    return None


def _misfits(last_round: FederationRound) -> list[Concern]:
    """Tell of what didn't fit the rest: somebody may be lying to the fleet."""
    url = reverse("admin:federation_federationround_change", args=[last_round.pk])
    found = {name: len(last_round.defences.get(name, ())) for name in MISFITS}
    # On real data a few cells always move, and a few are always new.
    usual = USUAL_SHARE * last_round.pattern_count
    counts = [
        f"{found[name]} {what}"
        for name, what in MISFITS.items()
        if found[name] > (usual if name in USUAL_MISFITS else 0)
    ]
    if not counts:
        return []
    return [
        Concern(
            tone="warning",
            icon="shield",
            text=f"{last_round} found what doesn't fit the rest",
            detail=f"{', '.join(counts)}. Its page names them.",
            url=url,
        )
    ]


def _count(shards: list[Shard]) -> str:
    return "1 shard is" if len(shards) == 1 else f"{len(shards)} shards are"


def _names(shards: list[Shard]) -> str:
    names = ", ".join(shard.name for shard in shards[:NAMES_SHOWN])
    more = len(shards) - NAMES_SHOWN
    return f"{names} and {more} more" if more > 0 else names

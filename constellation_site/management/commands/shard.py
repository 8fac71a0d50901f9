"""``manage.py shard``: list shards, add one, drain one, see when they will be full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from constellation_site import embedded, environment
from shards import selectors, services
from shards.commands import JsonCommand, add_json_argument
from shards.databases import configured_shard_ids, shard_alias
from shards.fields import REGION_ACCEPTED, is_region
from shards.forecast import Forecast
from shards.models import Shard

#: Of PositiveIntegerField.
MAX_DEVICES_LIMIT = 2**31 - 1


class Command(JsonCommand):
    help = (
        "Look after shards: add one before the others are full (`forecast` tells "
        "when), drain one that shall take no new TVs, activate it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add_json_argument(actions.add_parser("list", help="List all shards."))
        add_json_argument(
            actions.add_parser("forecast", help="Tell when each will be full.")
        )

        add = actions.add_parser("add", help="Put a new database into service.")
        add.add_argument("--name", default="", help="Default: a star's.")
        add.add_argument("--region", default="", help="Default: REGION.")
        add.add_argument("--max-devices", type=int, help="Default: MAX_DEVICES.")
        add.add_argument("--sync-url", default="", help="Where its TVs sync.")
        add.add_argument("--grpc-target", default="", help="host:port for gRPC.")
        add_json_argument(add)

        drain = actions.add_parser("drain", help="Take no new TVs; keep the others.")
        activate = actions.add_parser("activate", help="Take new TVs again.")
        for action in (drain, activate):
            action.add_argument("shard", help="Its name or its number.")
            add_json_argument(action)

    def handle(self, *, action: str, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {
            "list": self._list,
            "forecast": self._forecast,
            "add": self._add,
            "drain": self._drain,
            "activate": self._activate,
        }
        actions[action](**options)

    def _list(self, *, as_json: bool, **_: Any) -> None:
        shards = list(Shard.objects.all())
        total = sum(shard.device_count for shard in shards)
        lines = [_line(shard) for shard in shards]
        lines.append(f"{len(shards)} shards, {total:,} TVs")
        self.answer(
            {"shards": [_facts(shard) for shard in shards]},
            as_json=as_json,
            text="\n".join(lines),
        )

    def _forecast(self, *, as_json: bool, **_: Any) -> None:
        shards = list(Shard.objects.all())
        forecasts = selectors.forecasts(timezone.now())
        self.answer(
            {
                "shards": [
                    _facts(shard) | _forecast_facts(forecasts[shard.id])
                    for shard in shards
                ]
            },
            as_json=as_json,
            text="\n".join(
                f"{_line(shard)}, {_forecast_text(forecasts[shard.id])}"
                for shard in shards
            ),
        )

    def _drain(self, *, shard: str, as_json: bool, **_: Any) -> None:
        drained = selectors.shard_called(shard)
        services.shards.drain_shard(drained)
        self.answer(
            _facts(drained), as_json=as_json, text=f"{drained} takes no new TVs."
        )

    def _activate(self, *, shard: str, as_json: bool, **_: Any) -> None:
        activated = selectors.shard_called(shard)
        services.shards.activate_shard(activated)
        self.answer(
            _facts(activated), as_json=as_json, text=f"{activated} takes new TVs."
        )

    def _add(self, *, as_json: bool, **wishes: Any) -> None:
        _check_wishes(**wishes)
        shard_id = _database_without_shard()
        if shard_id is not None:
            self._add_for_database(shard_id, as_json=as_json, **wishes)
        elif environment.raw("POSTGRES_URL"):
            raise CommandError(
                "Every database in SHARD_POSTGRES_URLS has its shard. Append the URL "
                "of a new one, then run this again."
            )
        else:
            self._add_embedded(as_json=as_json, wishes=wishes)

    def _add_for_database(
        self,
        shard_id: int,
        *,
        as_json: bool,
        name: str,
        region: str,
        max_devices: int | None,
        sync_url: str,
        grpc_target: str,
        **_: Any,
    ) -> None:
        self.progress(f"Migrating {shard_alias(shard_id)}")
        call_command(
            "migrate", database=shard_alias(shard_id), interactive=False, verbosity=0
        )
        shard = services.shards.add_shard(
            shard_id=shard_id,
            name=name,
            region=region,
            max_devices=max_devices,
            sync_url=sync_url,
            grpc_target=grpc_target,
        )
        self.answer(_facts(shard), as_json=as_json, text=f"{_line(shard)}: in service.")

    def _add_embedded(self, *, as_json: bool, wishes: dict[str, Any]) -> None:
        """Prepare a database that the next ``up`` makes and puts into service."""
        wished = [f"--{k.replace('_', '-')}" for k in _WISHES if wishes[k]]
        if wished:
            raise CommandError(
                f"{', '.join(wished)}: an embedded shard is made by the next "
                "`manage.py up`, with the defaults. Change it in the console then."
            )
        shard_id = embedded.shard_count(settings.CONSTELLATION_HOME)
        embedded.set_shard_count(settings.CONSTELLATION_HOME, shard_id + 1)
        self.answer(
            {"id": shard_id, "restart_needed": True},
            as_json=as_json,
            text=f"The next `manage.py up` puts shard {shard_id} into service.",
        )


#: What `add` may be told of a shard.
_WISHES = ("name", "region", "max_devices", "sync_url", "grpc_target")


def _check_wishes(*, name: str, region: str, max_devices: int | None, **_: Any) -> None:
    if len(name) > 64:
        raise CommandError("--name: accepted are at most 64 characters.")
    if region and not is_region(region):
        raise CommandError(f"--region {region!r}: accepted are {REGION_ACCEPTED}.")
    if max_devices is not None and not 1 <= max_devices <= MAX_DEVICES_LIMIT:
        raise CommandError(
            f"--max-devices {max_devices}: accepted are 1 to {MAX_DEVICES_LIMIT:,}."
        )


def _database_without_shard() -> int | None:
    known = set(Shard.objects.values_list("id", flat=True))
    missing = [i for i in configured_shard_ids() if i not in known]
    return missing[0] if missing else None


def _facts(shard: Shard) -> dict[str, Any]:
    return {
        "id": shard.id,
        "name": shard.name,
        "region": shard.region,
        "devices": shard.device_count,
        "max_devices": shard.max_devices,
        "used_fraction": shard.used_fraction,
        "status": shard.status,
    }


def _line(shard: Shard) -> str:
    return (
        f"{shard.id} {shard.name} ({shard.region}, {shard.status}): "
        f"{shard.device_count:,} of {shard.max_devices:,} TVs"
    )


def _forecast_facts(forecast: Forecast | None) -> dict[str, float | None]:
    if forecast is None:
        return {"growth_per_day": None, "days_to_full": None}
    return {
        "growth_per_day": forecast.growth_per_day,
        "days_to_full": forecast.days_to_full,
    }


def _forecast_text(forecast: Forecast | None) -> str:
    if forecast is None:
        return "less than a day of history"
    growth = f"{forecast.growth_per_day:+,.0f} a day"
    if forecast.days_to_full is None:
        return f"{growth}, never full at this rate"
    return f"{growth}, full in {forecast.days_to_full:,.0f} days"

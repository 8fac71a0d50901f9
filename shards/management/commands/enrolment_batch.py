"""``manage.py enrolment_batch``: keys for TVs made or sold together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from shards import selectors
from shards.commands import JsonCommand, add_json_argument
from shards.fields import REGION_ACCEPTED, is_region
from shards.models import EnrolmentBatch
from shards.services import batches

LISTED_COUNT = 100


class Command(JsonCommand):
    help = (
        "Make, list, close, reopen or revoke enrolment batches. Make one for each "
        "production run or market before its TVs are switched on; close it once all "
        "of them are; revoke it when its key has leaked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)

        create = actions.add_parser("create", help="Make one; prints its key once.")
        create.add_argument("name", help="Unique, for people.")
        create.add_argument(
            "--region", default="", help="For TVs that don't say where they are."
        )
        create.add_argument(
            "--max-devices", type=int, help="Take no more TVs than this."
        )
        add_json_argument(create)

        add_json_argument(actions.add_parser("list", help="List the newest batches."))

        close = actions.add_parser("close", help="Take no new TVs; keep the others.")
        reopen = actions.add_parser("reopen", help="Take new TVs again.")
        revoke = actions.add_parser("revoke", help="Refuse every TV of it, for good.")
        for action in (close, reopen, revoke):
            action.add_argument("name")
            add_json_argument(action)
        revoke.add_argument(
            "--yes", action="store_true", help="Revoke. Without it, only report."
        )

    def handle(self, *, action: str, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {
            "create": self._create,
            "list": self._list,
            "close": self._close,
            "reopen": self._reopen,
            "revoke": self._revoke,
        }
        actions[action](**options)

    def _create(
        self,
        *,
        name: str,
        region: str,
        max_devices: int | None,
        as_json: bool,
        **_: Any,
    ) -> None:
        if not 1 <= len(name) <= 64:
            raise CommandError("NAME: accepted are 1 to 64 characters.")
        if region and not is_region(region):
            raise CommandError(f"--region {region!r}: accepted are {REGION_ACCEPTED}.")
        if max_devices is not None and not 1 <= max_devices < 2**31:
            raise CommandError(f"--max-devices {max_devices}: accepted are 1 or more.")

        new = batches.create_batch(name=name, region=region, max_devices=max_devices)
        facts = {
            "batch_id": new.batch.pk,
            "name": new.batch.name,
            "region": new.batch.region,
            "enrolment_key": new.enrolment_key,
        }
        self.answer(
            facts,
            as_json=as_json,
            text=(
                f"Batch {name} is open. Its key, which isn't shown again:\n"
                f"{new.enrolment_key}"
            ),
        )

    def _list(self, *, as_json: bool, **_: Any) -> None:
        newest = list(EnrolmentBatch.objects.all()[:LISTED_COUNT])
        facts = [_facts(batch) for batch in newest]
        lines = [
            f"{batch.name}: {batch.status}, {batch.device_count:,} TVs"
            + (f" of {batch.max_devices:,}" if batch.max_devices else "")
            + (f", {batch.region}" if batch.region else "")
            for batch in newest
        ]
        self.answer(
            {"batches": facts},
            as_json=as_json,
            text="\n".join(lines) or "No batch yet: enrolment_batch create NAME.",
        )

    def _close(self, *, name: str, as_json: bool, **_: Any) -> None:
        batch = selectors.batch_by_name(name)
        batches.close_batch(batch)
        self.answer(
            _facts(batch), as_json=as_json, text=f"Batch {name} takes no new TVs."
        )

    def _reopen(self, *, name: str, as_json: bool, **_: Any) -> None:
        batch = selectors.batch_by_name(name)
        batches.reopen_batch(batch)
        self.answer(
            _facts(batch), as_json=as_json, text=f"Batch {name} takes new TVs again."
        )

    def _revoke(self, *, name: str, yes: bool, as_json: bool, **_: Any) -> None:
        batch = selectors.batch_by_name(name)
        if not yes:
            self.answer(
                _facts(batch),
                as_json=as_json,
                text=(
                    f"{batch.device_count:,} TVs of {name} would be refused from now "
                    "on, for good. Add --yes to do it."
                ),
            )
            return

        revocation = batches.revoke_batch(batch)
        self.answer(
            {
                **_facts(batch),
                "revoked": revocation.revoked_count,
                "failed_shards": revocation.failed_shards,
            },
            as_json=as_json,
            text=f"{revocation.revoked_count:,} TVs of {name} are revoked.",
        )
        if revocation.failed_shards:
            raise CommandError(
                "No answer from shards "
                + ", ".join(map(str, revocation.failed_shards))
                + ": their TVs can still sync. Run this again when they are back."
            )


def _facts(batch: EnrolmentBatch) -> dict[str, Any]:
    return {
        "batch_id": batch.pk,
        "name": batch.name,
        "region": batch.region,
        "status": batch.status,
        "devices": batch.device_count,
        "max_devices": batch.max_devices,
    }

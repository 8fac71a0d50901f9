"""``manage.py forget_device``: delete a TV and all it ever sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from patterns.services.forget import forget_device
from shards import selectors
from shards.commands import JsonCommand
from shards.exceptions import DeviceNotFound


class Command(JsonCommand):
    help = (
        "Forget a TV: its row, its patterns, its place. Run it when a household asks "
        "for it. The next federation round no longer knows the TV."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("device_id", metavar="ID", help="The TV's UUID.")
        parser.add_argument(
            "--dry-run", action="store_true", help="Only tell where it lives."
        )

    def handle(self, *, device_id: str, dry_run: bool, as_json: bool, **_: Any) -> None:
        wanted = _uuid(device_id)
        home = selectors.home_of(wanted)
        if not dry_run and not forget_device(device_id=wanted):
            raise DeviceNotFound(device_id=wanted)  # Somebody else was faster.

        done = "would be forgotten" if dry_run else "is forgotten"
        facts = {"device_id": str(wanted), "shard_id": home.shard_id}
        self.answer(
            facts | {"forgotten": not dry_run},
            as_json=as_json,
            text=f"TV {wanted} on shard {home.shard} {done}.",
        )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise CommandError(
            f"ID {text!r}: accepted is a UUID, as 8-4-4-4-12 hexadecimal digits."
        ) from exc

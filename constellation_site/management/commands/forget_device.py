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
            "--yes", action="store_true", help="Forget. Without it, only report."
        )

    def handle(self, *, device_id: str, yes: bool, as_json: bool, **_: Any) -> None:
        wanted = _uuid(device_id)
        home = selectors.home_of(wanted)
        if yes and not forget_device(device_id=wanted):
            raise DeviceNotFound(device_id=wanted)  # Somebody else was faster.

        done = "is forgotten" if yes else "would be forgotten. Add --yes to do it"
        self.answer(
            {"device_id": str(wanted), "shard_id": home.shard_id, "forgotten": yes},
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

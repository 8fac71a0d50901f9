"""``manage.py quarantine``: what rounds leave out."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from federation import quarantine
from federation.models import Quarantine
from shards.commands import JsonCommand, add_json_argument

LISTED_COUNT = 1_000


class Command(JsonCommand):
    help = (
        "Leave a TV, an enrolment batch, a cell or a content out of all rounds from "
        "the next one on, or let it in again. Use it when a round tells of batches "
        "that were left out or cells that were held back, and you know why: TVs under "
        "quarantine sync as before and are told nothing of it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="Leave it out from the next round on.")
        remove = actions.add_parser("remove", help="Let it in again.")
        for action in (add, remove):
            chosen = action.add_mutually_exclusive_group(required=True)
            chosen.add_argument("--device", metavar="UUID", help="A TV.")
            chosen.add_argument(
                "--batch", metavar="NAME", help="An enrolment batch, or its number."
            )
            chosen.add_argument("--cell", metavar="NUMBER", help="A cell.")
            chosen.add_argument("--content", metavar="ID", help="A content.")
            add_json_argument(action)
        add.add_argument("--reason", default="", help="For whoever looks next.")
        add_json_argument(actions.add_parser("list", help="List what is left out."))

    def handle(self, *, action: str, as_json: bool, **options: Any) -> None:
        if action == "list":
            self._list(as_json=as_json)
            return
        kind, name = next(
            (kind, options[kind]) for kind in Quarantine.Kind.values if options[kind]
        )
        if action == "add":
            row = quarantine.add(kind=kind, name=name, reason=options["reason"])
            told = f"{row} is left out from the next round on."
        else:
            row = quarantine.remove(kind=kind, name=name)
            told = f"{row} is in again from the next round on."
        self.answer(_facts(row), as_json=as_json, text=told)

    def _list(self, *, as_json: bool) -> None:
        rows = list(Quarantine.objects.all()[:LISTED_COUNT])
        lines = [f"{row}" + (f" ({row.reason})" if row.reason else "") for row in rows]
        self.answer(
            {"quarantine": [_facts(row) for row in rows]},
            as_json=as_json,
            text="\n".join(lines) or "Nothing is under quarantine.",
        )


def _facts(row: Quarantine) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "name": row.name,
        "reason": row.reason,
        "since": row.created_at.isoformat(),
    }

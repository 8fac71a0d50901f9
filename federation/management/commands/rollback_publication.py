"""``manage.py rollback_publication``: give TVs an earlier result again."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from federation import rollback
from federation.progress import showing_steps
from shards.exceptions import ConstellationError


class Command(BaseCommand):
    help = (
        "Publish an earlier result again, as a new version, on all shards. For when a "
        "round published something that TVs should not have. The next round publishes "
        "anew: stop the schedule until the cause is found. Exit status as of federate."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to",
            type=int,
            dest="version",
            metavar="VERSION",
            help="The version to repeat; by default the one before the current.",
        )
        parser.add_argument(
            "--json", action="store_true", help="One JSON object on standard output."
        )

    def handle(self, *_args: Any, version: int | None, **options: Any) -> None:
        try:
            with showing_steps() as progress:
                report = rollback.republish(version=version, progress=progress)
        except ConstellationError as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json()))
        else:
            self.stdout.write("\n".join(report.lines()))
        if not report.is_published:
            raise CommandError(f"{report.status.capitalize()}: {report.problem}")
        if report.problem:
            self.stderr.write(self.style.WARNING(f"Partial: {report.problem}"))

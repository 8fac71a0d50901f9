"""What every command of ours shares: ``--json``, and errors that people can act on.

With ``--json`` standard output carries one JSON object and nothing else; progress
goes to standard error either way.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from shards import reaching
from shards.exceptions import ConstellationError


class JsonCommand(BaseCommand):
    """Subclasses add their arguments and implement ``handle``."""

    def add_arguments(self, parser: CommandParser) -> None:
        add_json_argument(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            with reaching.control():
                return super().execute(*args, **options)
        except ConstellationError as exc:
            raise CommandError(str(exc)) from exc

    def answer(self, facts: dict[str, Any], *, as_json: bool, text: str) -> None:
        """Print the result, for a machine or for a person."""
        self.stdout.write(json.dumps(facts, default=str) if as_json else text)

    def progress(self, line: str) -> None:
        self.stderr.write(line, style_func=str)


def add_json_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        help="Print one JSON object, for machines.",
    )

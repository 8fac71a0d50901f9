"""``manage.py operator``: people who look after the fleet."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from shards.commands import JsonCommand, add_json_argument
from shards.services import operators
from shards.services.operators import Role


class Command(JsonCommand):
    help = (
        "Make an operator, who can log in to the console and has an API token. Run it "
        "once for each person or script: what they do is logged under their name."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser(
            "create", help="Make one; prints password and token once."
        )
        create.add_argument("name", help="To log in with.")
        create.add_argument(
            "--role",
            required=True,
            choices=Role.values,
            help=(
                "viewer: looks at everything; operator: also drains shards, closes "
                "batches, forgets TVs, starts rounds; administrator: everything, "
                "operators too."
            ),
        )
        add_json_argument(create)

    def handle(self, *, name: str, role: str, as_json: bool, **_: Any) -> None:
        if not 1 <= len(name) <= 150:
            raise CommandError("NAME: accepted are 1 to 150 characters.")
        credentials = operators.create_operator(username=name, role=Role(role))
        self.answer(
            asdict(credentials),
            as_json=as_json,
            text=(
                f"{name} is a {role}. Neither is shown again:\n"
                f"password {credentials.password}\n"
                f"token    {credentials.token}"
            ),
        )

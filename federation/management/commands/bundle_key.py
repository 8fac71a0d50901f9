"""``manage.py bundle_key``: the keys that sign what caches hand out."""

from __future__ import annotations

import base64
from typing import Any

from django.core.management.base import CommandParser

from federation.bundles import keys
from federation.bundles.signing import KeyRing, PublicKey, SigningKey
from shards.commands import JsonCommand, add_json_argument


class Command(JsonCommand):
    help = (
        "The keys that sign publications for caches. Run `show` when a TV's software "
        "is made, and put the public keys into it; `rotate` once in a while, or when "
        "somebody may have read the private key. docs/recipes.md has the steps."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        show = actions.add_parser(
            "show", help="The public keys; makes the first key if there is none."
        )
        new = actions.add_parser(
            "new", help="Print a fresh private key for BUNDLE_SIGNING_KEY; keep none."
        )
        rotate = actions.add_parser(
            "rotate",
            help="Make the next key and announce it, from the next round on; then, "
            "weeks later, --switch; then, months later, --retire.",
        )
        step = rotate.add_mutually_exclusive_group()
        step.add_argument(
            "--switch",
            action="store_const",
            const=keys.switch,
            dest="step",
            help="Sign with the next key, and with the one before as well.",
        )
        step.add_argument(
            "--retire",
            action="store_const",
            const=keys.retire,
            dest="step",
            help="Sign with former keys no longer: TVs that know no other are lost.",
        )
        rotate.set_defaults(step=keys.announce)
        for action in (show, new, rotate):
            add_json_argument(action)

    def handle(self, *, action: str, as_json: bool, **options: Any) -> None:
        if action == "new":
            self._show_new(as_json)
        elif action == "show":
            self._show(keys.held(), as_json)
        else:
            self._show(options["step"](), as_json)

    def _show(self, ring: KeyRing, as_json: bool) -> None:
        public = ring.public_keys()
        self.answer(
            {"source": keys.source(), "keys": [_facts(key) for key in public]},
            as_json=as_json,
            text="\n".join(
                [
                    f"{key.key_id}  {_base64(key.raw)}  {key.status.label}"
                    for key in public
                ]
                + [f"The private keys are in {keys.source()}."]
            ),
        )

    def _show_new(self, as_json: bool) -> None:
        seed = keys.new_seed()
        key = SigningKey(base64.b64decode(seed))
        self.answer(
            {
                "key_id": key.key_id,
                "private_key": seed,
                "public_key": _base64(key.public),
            },
            as_json=as_json,
            text=(
                f"key id       {key.key_id}\n"
                f"public key   {_base64(key.public)}\n"
                f"private key  {seed}"
            ),
        )


def _facts(key: PublicKey) -> dict[str, str]:
    return {
        "key_id": key.key_id,
        "public_key": _base64(key.raw),
        "status": key.status.label,
    }


def _base64(public: bytes) -> str:
    return base64.b64encode(public).decode()

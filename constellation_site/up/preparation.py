"""Databases, shards, operator and enrolment key: present before anything serves.

Every step looks first, so that doing it again costs next to nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from constellation_site.environment import DEMO_SETTINGS_FILE
from constellation_site.up.options import DEMO_DEVICES_PER_PATTERN, Options
from shards import selectors
from shards.exceptions import EnrolmentKeyInvalid
from shards.models import EnrolmentBatch
from shards.services import batches, operators

FIRST_OPERATOR = "admin"
PASSWORD_BYTES = 12

Report = Callable[[str], None]


@dataclass(frozen=True)
class Login:
    username: str
    #: None if the operator has chosen their own since.
    password: str | None


def migrate_all(report: Report) -> None:
    """Bring the control database and every shard up to the newest schema."""
    behind = [alias for alias in connections if _is_behind(alias)]
    for position, alias in enumerate(behind, start=1):
        report(f"Migrating {alias} ({position} of {len(behind)})")
        call_command("migrate", database=alias, interactive=False, verbosity=0)


def ensure_login(home: Path) -> Login:
    """Have a first operator, whose password is kept beside the data.

    Once they have changed it in the console, it is theirs: it is not set back.
    """
    file = home / "operator.json"
    kept = json.loads(file.read_text())["password"] if file.exists() else None
    user = User.objects.filter(username=FIRST_OPERATOR).first()
    if user is not None:
        is_kept = kept is not None and user.check_password(kept)
        return Login(FIRST_OPERATOR, kept if is_kept else None)

    # Written first: a password that only the database knows helps nobody.
    password = kept or secrets.token_urlsafe(PASSWORD_BYTES)
    login = {"username": FIRST_OPERATOR, "password": password}
    write_secret(file, json.dumps(login, indent=2) + "\n")
    operators.ensure_operator(
        username=FIRST_OPERATOR, role=operators.Role.ADMINISTRATOR, password=password
    )
    return Login(FIRST_OPERATOR, password)


def ensure_enrolment_key(file: Path) -> None:
    """Have a file with the key of an open batch, for the simulated fleet."""
    if file.exists() and _opens_a_batch(file.read_text().strip()):
        return
    name = f"Demo fleet of {timezone.now():%Y-%m-%d %H:%M:%S}"
    write_secret(file, batches.create_batch(name=name).enrolment_key + "\n")


def settle_demo_settings(options: Options) -> None:
    """Leave a demo's thresholds where commands typed beside it find them as well."""
    file = options.home / DEMO_SETTINGS_FILE
    if options.lowers_privacy_threshold:
        file.write_text(f"MIN_DEVICES_PER_PATTERN={DEMO_DEVICES_PER_PATTERN}\n")
    else:
        file.unlink(missing_ok=True)


def clean_directory(path: Path) -> None:
    """An empty directory; counters of processes long gone must not be added up."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, mode=0o700)


def write_secret(path: Path, content: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    draft.replace(path)


def _is_behind(alias: str) -> bool:
    executor = MigrationExecutor(connections[alias])
    newest = executor.loader.graph.leaf_nodes()
    return bool(executor.migration_plan(newest))


def _opens_a_batch(enrolment_key: str) -> bool:
    try:
        batch = selectors.batch_by_key(enrolment_key)
    except EnrolmentKeyInvalid:
        return False
    return batch.status == EnrolmentBatch.Status.OPEN

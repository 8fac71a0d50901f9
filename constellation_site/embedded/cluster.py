"""The data directory: made once, and refused when another major version wrote it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from constellation_site.embedded.accounts import Account, run_as
from constellation_site.embedded.configuration import SETTINGS, Mode
from constellation_site.embedded.databases import SUPERUSER
from constellation_site.embedded.directories import (
    make_directory,
    make_private_directory,
)
from constellation_site.embedded.errors import EmbeddedPostgresError
from constellation_site.embedded.places import Place, note_outside_directories
from constellation_site.embedded.programs import (
    MAJOR_VERSION,
    programs_for,
    wheel_programs,
)

Report = Callable[[str], None]


def check_version(place: Place) -> None:
    try:
        version = (place.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    if version == MAJOR_VERSION:
        return
    message = (
        f"The data in {place.data} were written by PostgreSQL {version}, and this "
        f"Constellation runs PostgreSQL {MAJOR_VERSION}. Nothing was changed. Either "
        "install the Constellation that wrote them, or upgrade them with pg_upgrade "
        f"(PostgreSQL {MAJOR_VERSION}'s programs are in {wheel_programs()}), or "
        f"start empty: mv {place.data} {place.data}-{version}"
    )
    raise EmbeddedPostgresError(message)


def initialise(
    place: Place, account: Account | None, mode: Mode, report: Report
) -> None:
    for directory in (place.root, place.sockets):
        make_directory(directory.parent)
    make_directory(place.root)
    make_private_directory(place.sockets, account)
    note_outside_directories(place)
    if (place.data / "PG_VERSION").exists():
        return

    report("Creating the PostgreSQL data directory")
    # Under another name until it is whole: a half-made one would never start.
    draft = place.root / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    make_private_directory(draft, account)
    command = [
        str(programs_for(account) / "initdb"),
        f"--pgdata={draft}",
        f"--username={SUPERUSER}",
        "--auth-local=trust",  # the socket directory is the lock
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        *(f"--set={name}={value}" for name, value in SETTINGS.items()),
        *([] if mode.durable else ["--no-sync"]),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, **run_as(account)
    )
    if done.returncode != 0:
        message = f"initdb failed in {place.root}:\n{done.stderr.strip()}"
        raise EmbeddedPostgresError(message)
    draft.rename(place.data)

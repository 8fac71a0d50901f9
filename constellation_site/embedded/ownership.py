"""Which user the server runs as: PostgreSQL refuses to run as root.

Under root it runs as whoever owns its data, else as a system user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import Final

from constellation_site.embedded.accounts import Account, has_user, user_name
from constellation_site.embedded.directories import SYSTEM_ROOT
from constellation_site.embedded.errors import EmbeddedPostgresError
from constellation_site.embedded.places import Place

SYSTEM_USERS: Final = ("constellation-pg", "postgres", "nobody")


def account_for(place: Place) -> Account | None:
    owner = place.data.stat() if place.data.exists() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            message = (
                f"{place.data} belongs to user {user_name(owner.st_uid)}, who "
                "started it first. Run as that user or as root, or choose another "
                "CONSTELLATION_HOME."
            )
            raise EmbeddedPostgresError(message)
        return None
    if owner:
        return Account(owner.st_uid, owner.st_gid)
    return _system_account()


def _system_account() -> Account:
    """Constellation's own system user, or one that is there already."""
    name = SYSTEM_USERS[0]
    if not has_user(name) and (useradd := shutil.which("useradd")):
        options = ["--system", "--no-create-home", "--home-dir", str(SYSTEM_ROOT)]
        command = [useradd, *options, "--shell", "/usr/sbin/nologin", name]
        subprocess.run(command, capture_output=True, check=False)
    for name in SYSTEM_USERS:
        if has_user(name):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    message = (
        "PostgreSQL does not run as root, and there is no user to run it as. "
        f"Create one (adduser --system {SYSTEM_USERS[0]}), or start Constellation "
        "as an ordinary user."
    )
    raise EmbeddedPostgresError(message)

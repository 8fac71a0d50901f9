"""Making directories that the server's user reaches and nobody else reads.

No permission of an existing directory is ever changed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from constellation_site.embedded.accounts import Account, user_name
from constellation_site.embedded.errors import EmbeddedPostgresError

SYSTEM_ROOT: Final = Path("/var/lib/constellation")


def make_directory(path: Path) -> None:
    """Create it and its missing parents; one that exists is left as it is.

    Made by root, the server's user passes through them but cannot list them.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def make_private_directory(path: Path, account: Account | None) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if account:
            os.chown(path, account.uid, account.gid)
    found = path.lstat()
    owner_uid = account.uid if account else os.geteuid()
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not is_private or found.st_uid != owner_uid:
        message = (
            f"{path} must be a directory that only user {user_name(owner_uid)} can "
            "enter. Remove it, then start again."
        )
        raise EmbeddedPostgresError(message)

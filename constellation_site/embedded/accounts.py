"""System users: what they are called, and running a program as one."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    """The system user the server runs as when root starts it."""

    uid: int
    gid: int


def run_as(account: Account | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        # The current directory and the environment may mean nothing to that user.
        "cwd": "/",
        "env": {"PATH": os.defpath, "LC_ALL": "C"},
    }
    if account:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


def has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

"""Servers of small homes: started here or by another process, and asked."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from constellation_site import embedded

ROOT = os.geteuid() == 0
#: Starts the server, says whether it did, and holds on until its input closes.
SUPERVISOR = """
import sys
from constellation_site.embedded import start
print(start(sys.argv[1], databases=["constellation"], durable=False), flush=True)
sys.stdin.read()
"""


def start(home: Path, *, durable: bool = False, report: Any = None) -> bool:
    """One database, and none of the waiting for a disk, unless that is the point."""
    return embedded.start(
        home, databases=["constellation"], durable=durable, report=report
    )


def query(home: Path, statement: str) -> list[tuple[Any, ...]]:
    url = embedded.database_url(home)
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def supervisor_of(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # its input closes at the end, and so it ends
        yield process


def said(supervisor: subprocess.Popen[str]) -> str:
    assert supervisor.stdout
    return supervisor.stdout.readline().strip()


def pid_of(home: Path) -> int:
    pid = embedded.postmaster_pid(home)
    assert pid is not None
    return pid

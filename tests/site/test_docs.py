"""What people look up is there: every setting, every error code, every command."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from constellation_site import environment
from shards.exceptions import ConstellationError

#: Ground first.
FLOORS = ("shards", "patterns", "federation", "sync", "constellation_site")
#: The fleet stands apart: it knows only the doors.
ROOMS = (*FLOORS, "fleet")
DOCS = Path(settings.BASE_DIR) / "docs"


def error_classes(
    base: type[ConstellationError] = ConstellationError,
) -> Iterator[type[ConstellationError]]:
    for subclass in base.__subclasses__():
        yield subclass
        yield from error_classes(subclass)


def own_commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in ROOMS)


def test_every_setting_is_in_the_table():
    table = (DOCS / "settings.md").read_text()

    missing = [name for name in environment.DECLARED if f"| `{name}` |" not in table]

    # Names that other tests make up.
    assert set(missing) <= {"X"}


def test_every_error_code_is_in_the_table():
    table = (DOCS / "errors.md").read_text()

    assert [c for c in error_classes() if f"| `{c.code}` |" not in table] == []


def test_no_two_situations_share_a_code():
    codes = [c.code for c in error_classes() if "code" in vars(c)]

    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("name", own_commands())
def test_every_command_is_in_the_table(name):
    assert f"`{name}" in (DOCS / "commands.md").read_text()


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_from_their_own_floor_or_below(room):
    allowed = {room} if room == "fleet" else set(FLOORS[: FLOORS.index(room) + 1])

    for path in (Path(settings.BASE_DIR) / room).rglob("*.py"):
        imported = {name.split(".")[0] for name in imports_of(path)}
        assert imported & set(ROOMS) <= allowed, path


def test_generated_code_imports_no_room():
    grpcs_own = {"grpc", "warnings"}
    for path in (Path(settings.BASE_DIR) / "constellation").rglob("*.py"):
        imported = {name.split(".")[0] for name in imports_of(path)}
        assert imported <= {"google", "constellation"} | grpcs_own, path


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module

"""The fleet knows the server by its doors alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fleet

SERVER = {"shards", "patterns", "federation", "sync", "constellation_site"}
MODULES = sorted(Path(fleet.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_nothing_of_the_server_is_imported(module):
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(module.read_text()))
        for name in _imports(node)
    }

    assert imported.isdisjoint(SERVER)


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return []

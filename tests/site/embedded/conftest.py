"""A home of a test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from constellation_site import embedded


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that every user can reach, with durable data."""
    # Not tmp_path: pytest's is closed to others, and long.
    parent = Path(tempfile.mkdtemp(prefix="constellation-home-"))
    parent.chmod(0o755)
    home = parent / "home"
    yield home
    embedded.destroy(home)
    shutil.rmtree(parent)

"""Homes for whole installations."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from constellation_site import embedded


@pytest.fixture(scope="module")
def up_home() -> Iterator[Path]:
    """Reachable for the database's user, and gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="constellation-up-"))
    home.chmod(0o711)
    yield home
    embedded.destroy(home)
    shutil.rmtree(home)

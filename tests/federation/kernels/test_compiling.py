"""What is compiled gives what it says, wherever it may be kept."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np

from federation.kernels.compiling import compiled

BASE_DIR = Path(__file__).resolve().parents[3]


def added(numbers):
    total = 0
    for number in numbers:
        total += number
    return total


def test_gives_what_is_written():
    numbers = np.arange(10)

    assert compiled(added)(numbers) == inspect.unwrap(compiled(added))(numbers) == 45


def test_compiles_where_nothing_can_be_kept(monkeypatch):
    njit = numba.njit

    def without_folder(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(function, **options)

    monkeypatch.setattr(numba, "njit", without_folder)

    assert compiled(added)(np.arange(10)) == 45


def test_who_reads_no_shard_has_no_compiler_in_memory():
    said = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, django; django.setup(); "
            "import constellation_site.rsgi; print('numba' in sys.modules)",
        ],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "constellation_site.settings"},
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stdout.strip() == "False", said.stderr

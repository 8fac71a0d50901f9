"""Python's garbage collector in a process that serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson

BASE_DIR = Path(__file__).resolve().parents[2]

SERVING = """
import gc
import json

from constellation_site import rsgi

print(json.dumps([gc.get_threshold(), gc.get_freeze_count()]))
"""


def test_what_is_loaded_is_left_alone():
    said = subprocess.run(
        [sys.executable, "-c", SERVING],
        cwd=BASE_DIR,
        stdout=subprocess.PIPE,
        check=True,
    )

    (newest, _, _), frozen = orjson.loads(said.stdout.splitlines()[-1])
    assert newest >= 10_000
    assert frozen > 100_000

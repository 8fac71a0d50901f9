"""What a web process is like once it has loaded the application."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson

BASE_DIR = Path(__file__).resolve().parents[2]

BLAS_THREADS = """
import json
import os

os.environ["OPENBLAS_NUM_THREADS"] = "2"

from constellation_site.wsgi import application
from threadpoolctl import threadpool_info

pools = [each for each in threadpool_info() if each["user_api"] == "blas"]
print(json.dumps([each["num_threads"] for each in pools]))
"""


def test_numpy_leaves_the_other_cores_to_the_other_processes():
    said = subprocess.run(
        [sys.executable, "-c", BLAS_THREADS],
        cwd=BASE_DIR,
        stdout=subprocess.PIPE,
        check=True,
    )

    assert set(orjson.loads(said.stdout)) == {1}

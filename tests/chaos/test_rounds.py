"""A few rounds whose processes are killed; ``make chaos`` holds many more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.running import BASE_DIR

ROUNDS = 2
#: Draws kills of a coordinator, two workers, a shard's server and a session of one.
SEED = "226"


@pytest.mark.slow
def test_rounds_survive_kills_and_give_what_they_give_undisturbed():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos", "--hurried"),
            *("--rounds", str(ROUNDS), "--seed", SEED),
        ],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{ROUNDS} checksums as undisturbed" in done.stdout

"""One measurement on the shard that the environment names; JSON to standard output."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import django


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what")
    parser.add_argument("plan", type=Path)
    parser.add_argument("numbers", type=int, nargs="*")
    options = parser.parse_args()
    django.setup()

    from benchmarks.federation import measured  # it needs Django's settings

    measures: dict[str, Callable[..., measured.Found]] = {
        "first-reading": measured.first_reading,
        "beside-copy": measured.beside_copy,
        "whole": measured.whole,
        "merging": measured.merging,
    }
    print(json.dumps(measures[options.what](options.plan, *options.numbers)))


if __name__ == "__main__":
    main()

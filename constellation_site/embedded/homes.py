"""The home, and its `embedded.json`: how many shards, and where data are kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from constellation_site.embedded.accounts import user_name
from constellation_site.embedded.directories import make_directory
from constellation_site.embedded.errors import EmbeddedPostgresError

DEFAULT_SHARD_COUNT: Final = 4  # federation needs three; one may be lost


def make_home(home: str | Path) -> None:
    """Create the home; whoever makes it first has to, or root's server may not fit.

    One that exists is left as it is.
    """
    make_directory(real_path(home))


def shard_count(home: str | Path) -> int:
    """How many embedded shards this home has: `shards` in its `embedded.json`."""
    record_path = real_path(home) / "embedded.json"
    shards = read_record(real_path(home)).get("shards", DEFAULT_SHARD_COUNT)
    if type(shards) is not int or not 1 <= shards <= 1000:
        message = f"{record_path}: shards is {shards!r}, but must be 1 to 1000."
        raise EmbeddedPostgresError(message)
    return shards


def set_shard_count(home: str | Path, shards: int) -> None:
    """Give the home this many shards, from the next start on; never fewer."""
    home = real_path(home)
    if "shards" in read_record(home) and shards < shard_count(home):
        message = (
            f"{home} has {shard_count(home)} shards, and {shards} would leave TVs "
            "behind. Drain a shard instead of removing it."
        )
        raise EmbeddedPostgresError(message)
    make_home(home)
    update_record(home, shards=shards)


def real_path(home: str | Path) -> Path:
    return Path(os.path.realpath(Path(home).expanduser()))


def read_record(home: Path) -> dict[str, Any]:
    path = home / "embedded.json"
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except PermissionError as exc:
        message = (
            f"{home} is closed to user {user_name(os.geteuid())}. Run as its owner, "
            "or choose another CONSTELLATION_HOME."
        )
        raise EmbeddedPostgresError(message) from exc
    except ValueError as exc:
        raise EmbeddedPostgresError(f"{path} is not JSON: {exc}") from exc
    if not isinstance(record, dict):
        raise EmbeddedPostgresError(f"{path} must hold one JSON object.")
    return record


def update_record(home: Path, **facts: object) -> None:
    record = {**read_record(home), **facts}
    draft = home / f"embedded.json.{os.getpid()}"
    draft.write_text(json.dumps(record, indent=2) + "\n")
    draft.replace(home / "embedded.json")

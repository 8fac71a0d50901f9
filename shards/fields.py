"""What the words that TVs and operators send may look like."""

from __future__ import annotations

import re

from shards.models import REGION_LENGTH

REGION_ACCEPTED = (
    f"1 to {REGION_LENGTH} of a-z, 0-9, - and _, beginning with a letter or digit"
)

_REGION = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{REGION_LENGTH - 1}}}")


def is_region(value: str) -> bool:
    return _REGION.fullmatch(value) is not None

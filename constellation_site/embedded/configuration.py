"""How the server is configured: once for its cluster, and anew at each start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_CONNECTIONS: Final = 200

#: Written to `postgresql.conf` once; an operator may change them there.
SETTINGS: Final = {
    "shared_buffers": "256MB",
    "wal_level": "minimal",  # no replica hangs on an embedded server
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # every hot statement is short
    "log_line_prefix": "%m [%p] %d ",
    "log_checkpoints": "off",
}

#: For clusters that are thrown away: a power cut may corrupt them.
FORGETFUL_SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True)
class Mode:
    """What a start decides anew each time."""

    #: survives a power cut; only a cluster that is thrown away may do without
    durable: bool
    max_connections: int

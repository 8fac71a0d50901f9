"""How often Python looks for garbage in a process that serves.

A publication is a million objects that stay, and each sync makes thousands that go by
themselves. With Python's own settings, looking through them took 6 % of such a process,
and every look through all of them held up the syncs under way.
"""

from __future__ import annotations

import gc

#: New objects before a look at these; such looks before one at what outlived them, and
#: before one at everything.
THRESHOLDS = (50_000, 50, 100)


def collect_less() -> None:
    """Call when everything is loaded: what is there now is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

"""What everyone learned: rounds, global patterns, trends, links and their publication."""

from __future__ import annotations

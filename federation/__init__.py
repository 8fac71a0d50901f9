"""What everyone learned: rounds, global patterns, trends, links, publications."""

from __future__ import annotations

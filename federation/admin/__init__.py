"""Rounds and what they published: everything to look at, nothing to edit."""

from __future__ import annotations

from federation.admin import codebooks, patterns, publications, rounds, trends

__all__ = ["codebooks", "patterns", "publications", "rounds", "trends"]

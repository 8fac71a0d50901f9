"""Writes: what changes the patterns of a TV, or the catalogue."""

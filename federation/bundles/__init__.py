"""Bundles: a publication as immutable, signed files, for caches that anyone may run.

They are made once a round, compressed once, stored with the version on every database
and served as they are. ``publication`` makes them, ``storing`` writes them, ``serving``
finds them.
"""

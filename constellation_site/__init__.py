"""The shell around the rooms: settings, urls, databases, processes, metrics."""

from __future__ import annotations

from constellation_site.celery import app as celery_app

__all__ = ["celery_app"]

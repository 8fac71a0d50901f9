"""The peer is an app of its own."""

from __future__ import annotations

from django.apps import AppConfig


class NaiveConfig(AppConfig):
    name = "benchmarks.sync.naive"
    label = "naive"
    default_auto_field = "django.db.models.BigAutoField"

from __future__ import annotations

from django.apps import AppConfig


class FleetConfig(AppConfig):
    """No models: this app is here for its command, ``simulate``."""

    name = "fleet"

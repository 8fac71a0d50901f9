from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "constellation_site"

    def ready(self) -> None:
        from constellation_site import checks  # noqa: F401  # registers them

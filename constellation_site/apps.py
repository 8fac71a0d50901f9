from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "constellation_site"
    label = "constellation_site"

"""Settings of the peer: what its one endpoint needs, and nothing more."""

from __future__ import annotations

import os

from constellation_site import environment

SECRET_KEY = "signs nothing"
ALLOWED_HOSTS = ["*"]
USE_TZ = True

INSTALLED_APPS = ["rest_framework", "benchmarks.sync.naive"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "benchmarks.sync.naive.urls"
WSGI_APPLICATION = "benchmarks.sync.naive.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        **environment.postgres_url("PEER_URL", os.environ["PEER_URL"]),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": None,
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "benchmarks.sync.naive.authentication.DeviceAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["benchmarks.sync.naive.wire.SyncParser"],
    "DEFAULT_RENDERER_CLASSES": ["benchmarks.sync.naive.wire.SyncRenderer"],
    "UNAUTHENTICATED_USER": None,
}

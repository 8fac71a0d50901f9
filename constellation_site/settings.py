"""Settings, from the environment; docs/settings.md has the table for people.

Everything defaults to what is safe on one machine without any configuration.
"""

from __future__ import annotations

import os

import structlog
from django.templatetags.static import static

from constellation_site import environment, secret
from constellation_site.database_settings import databases
from sync.version import VERSION

BASE_DIR = environment.BASE_DIR

# Where this installation keeps its data when it isn't given databases.

CONSTELLATION_HOME = environment.path("CONSTELLATION_HOME", BASE_DIR / ".constellation")

# Databases

DATABASES = databases(CONSTELLATION_HOME)
DATABASE_ROUTERS = ["constellation_site.router.ConstellationRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

#: Shards whose TVs this process answers; None for all it has a database for.
SHARD_IDS = environment.shard_ids("SHARD_IDS")
#: For shards created from the environment.
REGION = environment.text("REGION", "global")
MAX_DEVICES = environment.integer("MAX_DEVICES", 4_000_000, at_least=1)

# Security

SECRET_KEY = secret.secret_key(CONSTELLATION_HOME)
#: Old keys that still verify tokens and sessions while they are replaced.
SECRET_KEY_FALLBACKS = environment.words("SECRET_KEY_FALLBACKS", [])
#: Signs what caches hand out. Only who publishes has it; unset, it is made once and
#: kept in CONSTELLATION_HOME. To rotate: docs/recipes.md.
BUNDLE_SIGNING_KEY = environment.key("BUNDLE_SIGNING_KEY")
BUNDLE_SIGNING_KEY_NEXT = environment.key(
    "BUNDLE_SIGNING_KEY_NEXT", unlike=BUNDLE_SIGNING_KEY
)
BUNDLE_SIGNING_KEY_FALLBACKS = environment.keys(
    "BUNDLE_SIGNING_KEY_FALLBACKS", unlike=BUNDLE_SIGNING_KEY
)
#: Where TVs fetch bundles: a CDN in front of this server; None for itself.
BUNDLE_URL = environment.url("BUNDLE_URL")
DEBUG = environment.boolean("DEBUG", False)
#: Any by default: TVs come by address or by name, and no link is built from Host
#: but the one that goes back to the same caller.
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", ["*"])
#: For a console behind HTTPS under another name.
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS", [])
SESSION_COOKIE_HTTPONLY = True
#: HTTPS is ended by the proxy in front; say so once there is one.
SESSION_COOKIE_SECURE = environment.boolean("HTTPS", False)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
CSRF_FAILURE_VIEW = "sync.problems.csrf_failure"
X_FRAME_OPTIONS = "DENY"

# What TVs may send, and for how long they are believed

QUALITY_THRESHOLD = environment.fraction("QUALITY_THRESHOLD", 0.7)
DEVICE_TOKEN_DAYS = environment.integer(
    "DEVICE_TOKEN_DAYS", 90, at_least=1, at_most=36_500
)
#: Wire size of one request body.
BODY_LIMIT_BYTES = 256 * 1024
#: The same after decompression.
INFLATED_LIMIT_BYTES = 1024 * 1024
PATTERNS_PER_SYNC = 64
PATTERNS_PER_DEVICE = 256
#: Of one web process; a request waits for its commit most of the time, so many share
#: a core. A quarter are for probes, operators and refusals, never for syncs.
REQUEST_THREADS = environment.integer("REQUEST_THREADS", 32, at_least=1)

# Federation

FEDERATION_INTERVAL_SECS = environment.integer(
    "FEDERATION_INTERVAL_SECS", 3600, at_least=1
)
MIN_QUALITY_THRESHOLD = environment.fraction("MIN_QUALITY_THRESHOLD", 0.8)
MIN_SOURCE_COUNT = environment.integer("MIN_SOURCE_COUNT", 3, at_least=1)
#: At least 2: what one TV alone said is never published.
MIN_DEVICES_PER_PATTERN = environment.integer("MIN_DEVICES_PER_PATTERN", 50, at_least=2)
MIN_BATCHES_PER_PATTERN = environment.integer("MIN_BATCHES_PER_PATTERN", 1, at_least=1)
TREND_DECAY_RATE = environment.fraction("TREND_DECAY_RATE", 0.95)
FEDERATION_CELLS = environment.integer(
    "FEDERATION_CELLS", 4096, at_least=1, at_most=65536
)

#: Differential privacy of each round: none by default.
DP_EPSILON = environment.above_zero("DP_EPSILON", None, at_most=100)
#: Far below one in the fleet: 400 million TVs.
DP_DELTA = environment.above_zero("DP_DELTA", 1e-9, at_most=0.01)
#: All rounds together; once it is spent, rounds with noise publish nothing more.
DP_BUDGET_EPSILON = environment.above_zero("DP_BUDGET_EPSILON", None)

# Workers

#: Wakes them, and may lose every message: what is to be done stands in rows.
CELERY_BROKER_URL = environment.broker_url(
    "CELERY_BROKER_URL", default="pgmq://control-database"
)

# Addresses

REST_ADDR = environment.address("REST_ADDR", "0.0.0.0:8080")
GRPC_ADDR = environment.address("GRPC_ADDR", ":50051")
METRICS_ADDR = environment.address("METRICS_ADDR", ":9090")
#: PEM files, for gRPC without a proxy that ends TLS in front. Both or none.
GRPC_TLS_CERT_FILE = environment.path_or_none("GRPC_TLS_CERT_FILE")
GRPC_TLS_KEY_FILE = environment.path_or_none("GRPC_TLS_KEY_FILE")

#: While this file exists, /health/ready says no (see constellation_site/drain.py).
DRAIN_FILE = environment.path("DRAIN_FILE", CONSTELLATION_HOME / "draining")

# Django

INSTALLED_APPS = [
    "constellation_site.apps.SiteConfig",
    "shards",
    "patterns",
    "federation",
    "sync",
    "fleet",
    "unfold",  # before the admin, whose templates it replaces
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "django_celery_beat",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "constellation_site.http_metrics.RequestMetricsMiddleware",
]

ROOT_URLCONF = "constellation_site.urls"
WSGI_APPLICATION = "constellation_site.wsgi.application"
APPEND_SLASH = False  # the contract's addresses have none

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = CONSTELLATION_HOME / "static"
#: Served from the packages themselves: nothing to collect before a first run.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["sync.parsers.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["sync.renderers.JsonRenderer"],
    "DEFAULT_SCHEMA_CLASS": "sync.schema.document.DescribedSchema",
    "EXCEPTION_HANDLER": "sync.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

#: What isn't here, sync/schema/ says; docs/openapi.yaml is made of both.
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.1",
    "TITLE": "Constellation",
    "VERSION": VERSION,
    "POSTPROCESSING_HOOKS": [
        "sync.schema.document.complete",
        "constellation_site.probe_schema.add_probes",
        "sync.schema.document.name_problems",
    ],
    # The page comes with the package: nothing is asked of anybody else.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "validatorUrl": None,  # else it is asked over the Internet
        "defaultModelsExpandDepth": 0,
        # Fields before examples, in which embeddings take 384 lines each.
        "defaultModelRendering": "model",
        "defaultModelExpandDepth": 3,
        "syntaxHighlight": False,
    },
}

# Metrics

# A command typed beside a running `up` is counted with it: prometheus_client looks
# for this variable, and `up` makes the folder.
_COUNTERS = CONSTELLATION_HOME / "metrics"
if _COUNTERS.is_dir() and environment.raw("PROMETHEUS_MULTIPROC_DIR") is None:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_COUNTERS)
#: Its start-up check would visit every database from every process.
PROMETHEUS_EXPORT_MIGRATIONS = False

# The console

LOGIN_REDIRECT_URL = "admin:index"

UNFOLD = {
    "SITE_TITLE": "Constellation",
    "SITE_HEADER": "Constellation",
    "SITE_SUBHEADER": "Fleet learning",
    "SITE_SYMBOL": "planet",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("console/icon.svg"),
        }
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda _request: static("console/console.css")],
    "DASHBOARD_CALLBACK": "constellation_site.console.overview.context",
    "SIDEBAR": {
        "navigation": "constellation_site.console.navigation.sidebar",
        "command_search": True,
    },
    # Not the models: some of their tables are too large to be searched.
    "COMMAND": {"search_callback": "constellation_site.console.navigation.find"},
    "COLORS": {
        "primary": {  # indigo
            "50": "oklch(96.2% .018 272.3)",
            "100": "oklch(93% .034 272.8)",
            "200": "oklch(87% .065 274)",
            "300": "oklch(78.5% .115 274.7)",
            "400": "oklch(67.3% .182 276.9)",
            "500": "oklch(58.5% .233 277.1)",
            "600": "oklch(51.1% .262 277)",
            "700": "oklch(45.7% .24 277)",
            "800": "oklch(39.8% .195 277.4)",
            "900": "oklch(35.9% .144 278.7)",
            "950": "oklch(25.7% .09 281.3)",
        },
    },
}

# Logs: one line an event on standard error

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(colors=False)
        if environment.choice("LOG_FORMAT", "text", among=("text", "json")) == "text"
        else structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
    },
    # A database that is away is said in a line by who needs it, not by these as well.
    "loggers": {
        "psycopg.pool": {"level": "CRITICAL"},
        "django_celery_beat": {"level": "CRITICAL"},
    },
    "root": {
        "handlers": ["console"],
        "level": environment.choice(
            "LOG_LEVEL", "WARNING", among=("DEBUG", "INFO", "WARNING", "ERROR")
        ),
    },
}

"""The version of the product, as /api/v1/info tells it."""

from __future__ import annotations

VERSION = "0.1.0"

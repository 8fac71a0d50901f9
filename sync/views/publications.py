"""``GET /api/v1/publications/current``: which version is out, asked often and cheaply.

What belongs to a version is served by ``sync.views.bundles``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from federation.bundles import serving
from federation.bundles.publication import CODEBOOK, TRENDS_PREFIX
from federation.models import Publication
from shards import reaching
from shards.databases import CONTROL_ALIAS, shard_alias
from sync import replies
from sync.authentication import DeviceCaller, callers, check_shard_is_served
from sync.renderers import dumps
from sync.views.door import DoorViewSet

#: A new version is news for an hour; a minute late is not late.
MAX_AGE = timedelta(seconds=60)


class PublicationViewSet(DoorViewSet):
    authentication_classes = callers()
    permission_classes = [IsAuthenticated]

    def current(self, request: Request) -> HttpResponseBase:
        body = dumps(_current_for(request))
        return replies.cacheable_json(request, body, max_age=MAX_AGE)


def _current_for(request: Request) -> dict[str, Any]:
    """Tell a TV what its own shard has: that is what it will be answered from."""
    # Before a database is asked: it refuses a Host that can't be.
    root = settings.BUNDLE_URL or request.build_absolute_uri("/").rstrip("/")
    if isinstance(request.user, DeviceCaller):
        token = request.user.token
        check_shard_is_served(token)
        with reaching.shard(token.shard_id):
            return _described(shard_alias(token.shard_id), root)
    with reaching.control():
        return _described(CONTROL_ALIAS, root)


def _described(alias: str, root: str) -> dict[str, Any]:
    publication = Publication.objects.using(alias).filter(is_current=True).first()
    if publication is None:
        return {"global_version": 0, "codebook_version": 0}
    paths = serving.paths_of(alias, publication.version)
    return {
        "global_version": publication.version,
        "codebook_version": _codebook_version(paths),
        "checksum": publication.checksum,
        "published_at": publication.published_at,
        "pattern_count": publication.pattern_count,
        "trend_count": publication.trend_count,
        "link_count": publication.link_count,
        # Without any: it was published before there were bundles.
        **({"urls": _urls(paths, f"{root}/api/v1/")} if paths else {}),
    }


def _codebook_version(paths: dict[str, str]) -> int:
    return int(paths[CODEBOOK].rpartition("/")[2]) if CODEBOOK in paths else 0


def _urls(paths: dict[str, str], api: str) -> dict[str, Any]:
    """The same for every TV, whatever its region: caches keep one answer for all."""
    trends = {
        name.removeprefix(TRENDS_PREFIX): api + path
        for name, path in paths.items()
        if name.startswith(TRENDS_PREFIX)
    }
    others = {name: api + path for name, path in paths.items() if "/" not in name}
    return others | {"trends": trends}

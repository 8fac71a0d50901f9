"""``GET /api/v1/publications/current``: which version is out, asked often and cheaply.

The bundles of a version, immutable and for a CDN, belong beside this view.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

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
    if isinstance(request.user, DeviceCaller):
        token = request.user.token
        check_shard_is_served(token)
        with reaching.shard(token.shard_id):
            return _described(shard_alias(token.shard_id))
    with reaching.control():
        return _described(CONTROL_ALIAS)


def _described(alias: str) -> dict[str, Any]:
    publication = Publication.objects.using(alias).filter(is_current=True).first()
    if publication is None:
        return {"global_version": 0}
    return {
        "global_version": publication.version,
        "checksum": publication.checksum,
        "published_at": publication.published_at,
        "pattern_count": publication.pattern_count,
        "trend_count": publication.trend_count,
        "link_count": publication.link_count,
    }

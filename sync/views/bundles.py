"""Bundles of publications, for caches: stored bytes, as they are, to anyone.

Nothing is made or compressed here. Any database that has published a bundle will do,
so a shard's process needs no other database than its shard's.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http import HTTPStatus
from itertools import islice
from typing import Any

from django.http import HttpResponse
from django.utils.cache import patch_vary_headers
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from federation.bundles import serving
from federation.bundles.publication import TRENDS_PREFIX, codebook_path
from federation.bundles.serving import PAGE_PREFIX, Coded, Found
from federation.exceptions import BundleUnknown, VersionNotKept
from shards import reaching
from shards.databases import CONTROL_ALIAS, served_shard_ids, shard_alias
from shards.exceptions import ConstellationError, InvalidRequest
from shards.fields import REGION_ACCEPTED, is_region
from sync import encodings, fields, ranges
from sync.renderers import JsonRenderer, OldProtobufRenderer, ProtobufRenderer
from sync.views.door import DoorViewSet

CACHE_CONTROL = "public, max-age=31536000, immutable"

SIGNATURE_HEADER = "Bundle-Signature"

#: How many addresses a 404 names.
KNOWN_LIMIT = 50

#: How many shards are asked before the control database, which has whatever was ever
#: current: what isn't there must not cost a query on each of a hundred.
SHARDS_ASKED = 3

_NAME = re.compile(r"[a-z]{1,32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BundleViewSet(DoorViewSet):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    renderer_classes = [ProtobufRenderer, OldProtobufRenderer]

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Without ``Vary: Accept``: both names get the same, and caches one copy."""
        return {"Allow": ", ".join(self.allowed_methods)}

    def get_renderers(self) -> list[BaseRenderer]:
        if self.request.method == "OPTIONS":  # no message describes a view
            return [JsonRenderer()]
        return super().get_renderers()

    def of_version(self, request: Request, version: str, name: str) -> HttpResponse:
        number = _whole(version, "version")
        if not _NAME.fullmatch(name):
            raise _unknown(f"publications/{number}/", version=number)
        return _answer(request, f"publications/{number}/{name}", version=number)

    def trends(self, request: Request, version: str, region: str) -> HttpResponse:
        number = _whole(version, "version")
        if not is_region(region):
            raise InvalidRequest(
                field="region", problem="not a region", accepted=REGION_ACCEPTED
            )
        path = f"publications/{number}/{TRENDS_PREFIX}{region}"
        return _answer(request, path, version=number)

    def codebook(self, request: Request, codebook_version: str) -> HttpResponse:
        number = _whole(codebook_version, "codebook_version")
        return _answer(request, codebook_path(number))

    def page(self, request: Request, sha256: str) -> HttpResponse:
        if not _SHA256.fullmatch(sha256):
            raise InvalidRequest(
                field="sha256",
                problem="not a SHA-256",
                accepted="64 of 0-9 and a-f, as the catalogue of a publication has it",
            )
        return _answer(request, PAGE_PREFIX + sha256)


def _answer(request: Request, path: str, *, version: int | None = None) -> HttpResponse:
    found = _find(path)
    if found is None:
        raise _unknown(path, version=version)
    coding = _coding(request, found)
    coded = found.codings[coding]
    etag = f'"{coded.sha256[:32]}"'
    if ranges.is_held(request, etag):
        reply = HttpResponse(status=HTTPStatus.NOT_MODIFIED)
        del reply["Content-Type"]
        return _with_headers(reply, etag)
    part = ranges.wanted(request, etag, coded.size_bytes)
    sent = range(coded.size_bytes) if part is None else part
    reply = HttpResponse(
        b"" if request.method == "HEAD" else _read(found, path, coding, sent),
        content_type=ProtobufRenderer.media_type,
    )
    reply["Content-Length"] = str(len(sent))
    reply["Accept-Ranges"] = "bytes"
    reply["Repr-Digest"] = _repr_digest(coded)
    reply[SIGNATURE_HEADER] = found.signature
    if coding != "identity":
        reply["Content-Encoding"] = coding
    if part is not None:
        reply.status_code = HTTPStatus.PARTIAL_CONTENT
        reply["Content-Range"] = f"bytes {part[0]}-{part[-1]}/{coded.size_bytes}"
    return _with_headers(reply, etag)


def _with_headers(reply: HttpResponse, etag: str) -> HttpResponse:
    reply["ETag"] = etag
    reply["Cache-Control"] = CACHE_CONTROL
    patch_vary_headers(reply, ["Accept-Encoding"])
    return reply


def _coding(request: Request, found: Found) -> str:
    preferred = encodings.preferred(request.headers.get("Accept-Encoding", ""))
    return preferred if preferred in found.codings else "identity"


def _repr_digest(coded: Coded) -> str:
    """Of the encoded bytes, whole, even if a range is sent (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(coded.sha256)).decode()}:"


def _databases() -> Iterator[tuple[str, AbstractContextManager[None]]]:
    """Name those that may have a bundle; the control database comes last."""
    for shard_id in islice(served_shard_ids(), SHARDS_ASKED):
        yield shard_alias(shard_id), reaching.shard(shard_id)
    yield CONTROL_ALIAS, reaching.control()


def _find(path: str) -> Found | None:
    """Look a path up; a shard that is behind or down sends nobody away."""
    trouble: ConstellationError | None = None
    for alias, reached in _databases():
        try:
            with reached:
                found = serving.find(alias, path)
        except ConstellationError as exc:
            trouble = exc
        else:
            if found is not None:
                return found
    if trouble is not None:
        raise trouble
    return None


def _read(found: Found, path: str, coding: str, part: range) -> bytes:
    reached = next(reached for alias, reached in _databases() if alias == found.alias)
    with reached:
        body = serving.read(found, coding, part.start, len(part))
    if body is None:  # its version was deleted between two queries
        raise BundleUnknown(path=path, known="(it has just been deleted)")
    return body


def _unknown(path: str, *, version: int | None) -> ConstellationError:
    """Tell what there is instead, as the first database that answers has it."""
    for alias, reached in _databases():
        try:
            with reached:
                return _unknown_to(alias, path, version)
        except ConstellationError:
            continue
    return BundleUnknown(path=path, known="(no database answers)")


def _unknown_to(alias: str, path: str, version: int | None) -> ConstellationError:
    if version is not None:
        kept = serving.kept_versions(alias)
        if version not in kept:
            known = ", ".join(map(str, kept)) or "none yet"
            return VersionNotKept(version=version, kept=known)
        directory = f"publications/{version}/"
    else:
        directory = path.partition("/")[0] + "/"
    there = serving.paths_below(alias, directory, limit=KNOWN_LIMIT)
    return BundleUnknown(path=path, known=", ".join(there) or "none yet")


def _whole(value: str, field: str) -> int:
    # 19 digits are enough for any version; more would only cost time.
    is_number = value.isascii() and value.isdigit() and len(value) <= 19
    return fields.whole_number(
        int(value) if is_number else value,
        field,
        at_least=1,
        at_most=fields.VERSION_MAX,
    )

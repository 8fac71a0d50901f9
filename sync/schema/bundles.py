"""Bundles of publications in OpenAPI's words; their insides: ``bundle.proto``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federation.exceptions import BundleUnknown, VersionNotKept
from shards.exceptions import ConstellationError
from shards.fields import REGION_ACCEPTED
from sync.fields import VERSION_MAX
from sync.schema import operations, parts, problems
from sync.schema.operations import Operation, Operations
from sync.schema.parts import Schema

TAG = "Bundles"

_STRONG_ETAG = '"9f86d081884c7d659a2feaa0c55ad015"'

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_OF_VERSION = """\
What a publication consists of, as files that never change: for caches that anyone may
run. `manifest` lists the others with their SHA-256 and is signed; a TV verifies it once
and then believes whatever has the right SHA-256.

| name | message |
|---|---|
| `manifest` | `SignedManifest` |
| `patterns` | `PatternsBundle`: all global patterns |
| `links` | `LinksBundle`: which contents are found in the same TVs |
| `items` | `ItemsBundle`: the names of the ordinals in the others |
| `catalogue` | `CatalogueBundle`: the pages of the content catalogue |

A version is served from the moment it is current, and until a few later ones are.
"""

_KNOWN = "publications/18/items, publications/18/links, publications/18/manifest"


def described() -> Operations:
    version = _path("version", _version("The publication."))
    not_kept = VersionNotKept(version=12, kept="18, 17, 16")
    return {
        "GET /api/v1/publications/{version}/{name}": _operation(
            "bundle",
            summary="One bundle of a publication",
            description=_OF_VERSION,
            message="SignedManifest, PatternsBundle, LinksBundle, ItemsBundle or "
            "CatalogueBundle",
            parameters=[
                version,
                _path(
                    "name",
                    parts.text(
                        "The bundle.", example="patterns", pattern="^[a-z]{1,32}$"
                    ),
                ),
            ],
            refusals=[
                not_kept,
                BundleUnknown(path="publications/18/stars", known=_KNOWN),
                *_invalid_version("version"),
            ],
        ),
        "GET /api/v1/publications/{version}/trends/{region}": _operation(
            "trends_bundle",
            summary="The trends of one region",
            description="As `/api/v1/publications/{version}/{name}`. `global` is the "
            "whole fleet, and always there.",
            message="TrendsBundle",
            parameters=[
                version,
                _path(
                    "region",
                    parts.text(
                        "The region.", example="eu", pattern=parts.REGION_PATTERN
                    ),
                ),
            ],
            refusals=[
                not_kept,
                BundleUnknown(
                    path="publications/18/trends/eu",
                    known=f"{_KNOWN}, publications/18/trends/global",
                ),
                *problems.invalid("region", "not a region", REGION_ACCEPTED),
            ],
        ),
        "GET /api/v1/codebooks/{codebook_version}": _operation(
            "codebook",
            summary="A codebook",
            description="What turns codes of embeddings into vectors. It outlives "
            "publications, so it has an address of its own.",
            message="Codebook",
            parameters=[_path("codebook_version", _version("The codebook."))],
            refusals=[
                BundleUnknown(path="codebooks/1", known="codebooks/3, codebooks/4"),
                *_invalid_version("codebook_version"),
            ],
        ),
        "GET /api/v1/catalogue/{sha256}": _operation(
            "catalogue_page",
            summary="A page of the content catalogue",
            description="By its SHA-256, as `catalogue` of a publication lists it: a "
            "page that hasn't changed is where it was.",
            message="CataloguePage",
            parameters=[
                _path(
                    "sha256",
                    parts.text(
                        "Of the page's bytes, in hexadecimal.",
                        example=SHA256,
                        pattern="^[0-9a-f]{64}$",
                    ),
                )
            ],
            refusals=[
                BundleUnknown(path=f"catalogue/{SHA256}", known="none yet"),
                *problems.invalid(
                    "sha256",
                    "not a SHA-256",
                    "64 of 0-9 and a-f, as the catalogue of a publication has it",
                ),
            ],
        ),
    }


def schemas() -> dict[str, Schema]:
    return {}


def parameters() -> dict[str, Schema]:
    """Conditions and ranges, by the name of the component."""
    return {
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "description": "Answer with this or with 412.",
            "schema": {"type": "string", "examples": [_STRONG_ETAG]},
        },
        "Range": {
            "name": "Range",
            "in": "header",
            "description": "One range of the encoded bytes; several are answered with "
            "the whole.",
            "schema": {"type": "string", "examples": ["bytes=65536-"]},
        },
        "IfRange": {
            "name": "If-Range",
            "in": "header",
            "description": "The `ETag` of the part that the caller has: if it isn't "
            "that any more, the whole is sent.",
            "schema": {"type": "string", "examples": [_STRONG_ETAG]},
        },
    }


def headers() -> dict[str, Schema]:
    """What comes with bytes that never change, by the name of the component."""
    return {
        "Immutable": {
            "description": "A cache may keep it for ever.",
            "schema": {
                "type": "string",
                "examples": ["public, max-age=31536000, immutable"],
            },
        },
        "StrongETag": {
            "description": "Of the encoded bytes; another for each encoding.",
            "schema": {"type": "string", "examples": [_STRONG_ETAG]},
        },
        "AcceptRanges": {
            "description": "That `Range` is understood.",
            "schema": {"type": "string", "enum": ["bytes"]},
        },
        "ContentRange": {
            "description": "Which of the encoded bytes these are, and how many there "
            "are; with 416, only the latter.",
            "schema": {"type": "string", "examples": ["bytes 65536-99999/100000"]},
        },
        "ReprDigest": {
            "description": "SHA-256 of the encoded bytes, whole (RFC 9530).",
            "schema": {
                "type": "string",
                "examples": ["sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"],
            },
        },
        "BundleSignature": {
            "description": "By key id, Ed25519 over the ASCII lines `constellation "
            "bundle v1`, the address below `/api/v1/`, and the SHA-256 of the bytes "
            "without an encoding in hexadecimal, each ended by one 0x0A. A dictionary "
            "of byte sequences (RFC 9651).",
            "schema": {
                "type": "string",
                "examples": [f"k21fe31dfa154a261=:{'A' * 86}==:"],
            },
        },
    }


def _operation(
    name: str,
    *,
    summary: str,
    description: str,
    message: str,
    parameters: Sequence[Schema],
    refusals: Sequence[ConstellationError],
) -> Operation:
    return operations.operation(
        name,
        tag=TAG,
        summary=summary,
        description=description,
        security=operations.ANYONE,
        parameters=[
            *parameters,
            *map(operations.parameter, ("IfNoneMatch", "IfMatch", "Range", "IfRange")),
        ],
        replies=_immutable(summary + ".", message),
        refusals=[
            *problems.any_call(problems.PROTOBUF_ONLY),
            *problems.partial(),
            *refusals,
            *problems.shard_down(),
            *problems.control_down(),
        ],
    )


def _path(name: str, schema: Schema) -> Schema:
    told = dict(schema)
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": told.pop("description"),
        "schema": told,
    }


def _version(description: str) -> Schema:
    return parts.whole(description, example=18, at_least=1, at_most=VERSION_MAX)


def _invalid_version(field: str) -> list[ConstellationError]:
    return problems.invalid(
        field, "not a whole number", f"a whole number from 1 to {VERSION_MAX}"
    )


def _immutable(description: str, message: str) -> dict[int, dict[str, Any]]:
    """Describe bytes that never change: whole, in part, and to who has them already."""
    known = {
        "ETag": {"$ref": "#/components/headers/StrongETag"},
        "Cache-Control": {"$ref": "#/components/headers/Immutable"},
    }
    carried = {
        **known,
        **{
            name: {"$ref": f"#/components/headers/{name.replace('-', '')}"}
            for name in (
                *("Content-Encoding", "Accept-Ranges"),
                *("Repr-Digest", "Bundle-Signature"),
            )
        },
    }
    content = {
        operations.PROTOBUF_DOWN: operations.binary(message, operations.PROTOBUF_DOWN)
    }
    return {
        200: {"description": description, "headers": carried, "content": content},
        206: {
            "description": "The part that `Range` asks for, of the encoded bytes.",
            "headers": carried
            | {"Content-Range": {"$ref": "#/components/headers/ContentRange"}},
            "content": content,
        },
        304: {
            "description": "`If-None-Match` names what the caller would get. No body.",
            "headers": known,
        },
    }

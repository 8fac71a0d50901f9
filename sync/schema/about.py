"""What the server tells about itself, in OpenAPI's words.

``/api/v1/info``, ``/api/v1/publications/current`` and the description itself.
"""

from __future__ import annotations

from sync import pacing
from sync.schema import operations, parts, problems
from sync.schema.operations import Operations
from sync.schema.parts import Schema
from sync.version import VERSION

TAG = "About"


def described() -> Operations:
    return {
        "GET /api/v1/info": operations.operation(
            "info",
            tag=TAG,
            summary="Version, limits and formats of this server",
            description="Everything a client must keep to, as this server enforces it.",
            security=operations.ANYONE,
            replies={200: operations.reply("What it is.", parts.ref("Info"))},
            refusals=problems.any_call(),
        ),
        "GET /api/v1/publications/current": operations.operation(
            "current_publication",
            tag=TAG,
            summary="Which publication is out",
            description="A TV hears what its own shard answers from, an operator what "
            "the control database has. May be asked often: it is kept for a minute.",
            security=operations.DEVICE_OR_OPERATOR,
            parameters=[operations.parameter("IfNoneMatch")],
            replies=operations.cacheable(
                "The current publication.", parts.ref("Publication")
            ),
            refusals=[
                *problems.any_call(),
                *problems.device_token(),
                *problems.operator(),
                *problems.served_elsewhere(),
                *problems.shard_down(),
                *problems.control_down(),
            ],
        ),
        "GET /api/v1/schema": _schema_operation(),
    }


def schemas() -> dict[str, Schema]:
    return {"Info": _info(), "Publication": _publication()}


def _schema_operation() -> operations.Operation:
    described = operations.operation(
        "schema",
        tag=TAG,
        summary="This description",
        description="OpenAPI 3.1, as JSON or as YAML; `/api/v1/docs` shows it to "
        "people.",
        security=operations.ANYONE,
        parameters=[
            operations.query(
                "format",
                parts.choice(
                    "Instead of an `Accept` header.", ["json", "yaml"], example="yaml"
                ),
            ),
            operations.parameter("IfNoneMatch"),
        ],
        replies=operations.cacheable("An OpenAPI document.", {"type": "object"}),
        refusals=[
            *problems.any_call(),
            *problems.invalid("format", "not one of the names", "json, yaml"),
        ],
    )
    content = described["responses"]["200"]["content"]
    for media_type in (
        "application/yaml",
        "application/vnd.oai.openapi+json",
        "application/vnd.oai.openapi",
    ):
        content[media_type] = {"schema": {"type": "object"}}
    return described


def _publication() -> Schema:
    about = {
        "checksum": parts.text(
            "Of all its rows; the same on every shard.",
            example="6d1f0a9c27bb5f5f1d7f7f7c0ad8b5e1",
            at_most=64,
        ),
        "published_at": parts.instant("When it became current."),
        "pattern_count": parts.whole("Global patterns in it.", example=3_871),
        "trend_count": parts.whole("Trends in it, over all regions.", example=1_250),
        "link_count": parts.whole("Contents with links in it.", example=9_742),
    }
    return parts.obj(
        {
            "global_version": parts.version(
                "Its version; 0 before the first, and then little else is told.",
                example=18,
            ),
            "codebook_version": parts.version(
                "The codebook of its codes; 0 while there is none.", example=4
            ),
            **about,
            "urls": _urls(),
        },
        optional=[*about, "urls"],
    )


def _urls() -> Schema:
    def url(description: str, path: str) -> Schema:
        return parts.uri(description, example=f"https://cdn.example.com/api/v1/{path}")

    bundles = {
        name: url(description, f"publications/18/{name}")
        for name, description in {
            "manifest": "The signed list of all others.",
            "patterns": "All global patterns.",
            "links": "Which contents are found in the same TVs.",
            "items": "Names of the ordinals in the others.",
            "catalogue": "The pages of the content catalogue.",
        }.items()
    }
    bundles["codebook"] = url("The codebook, once there is one.", "codebooks/4")
    region = url("The trends of that region.", "publications/18/trends/eu")
    return parts.obj(
        {
            **bundles,
            "trends": {
                "type": "object",
                "description": "By region, those that have any; `global`, the whole "
                "fleet, always.",
                "additionalProperties": region,
                "examples": [{"eu": region["examples"][0]}],
            },
        },
        description="Where its bundles are, the same for every TV.",
        optional=list(bundles),
    )


def _info() -> Schema:
    return parts.obj(
        {
            "name": parts.text("The product's name.", example="Constellation"),
            "version": parts.text("The product's version.", example=VERSION),
            "global_version": parts.nullable(
                parts.version(
                    "The publication that is current; 0 before the first, null while "
                    "it can't be found out.",
                    example=18,
                )
            ),
            "bundle_keys": parts.nullable(
                parts.array(
                    _bundle_key(),
                    "Public keys of manifests, as the current one announces them; null "
                    "while they can't be found out. A TV pins what it was made with, "
                    "not what it finds here.",
                )
            ),
            "media_types": parts.array(
                parts.text("A media type.", example="application/json"),
                "Of bodies, both ways; all but enrolment and syncs are JSON only.",
            ),
            "embedding_encodings": parts.array(
                parts.text("An encoding of embeddings.", example="int8"),
                "Of embeddings in protobuf, both ways.",
            ),
            "encodings": parts.array(
                parts.text("A content coding.", example="zstd"),
                "Of bodies, both ways, best first.",
            ),
            "limits": _limits(),
            "quality_threshold": parts.fraction(
                "A pattern with a success rate below it is not stored.", example=0.7
            ),
            "federation": _federation(),
            "next_sync_seconds": parts.obj(
                {
                    "min": parts.whole("Seconds.", example=300),
                    "max": parts.whole("Seconds.", example=900),
                },
                description="How soon, and how late, TVs are asked to come back; "
                f"later, up to {pacing.HORIZON_SECONDS}, only where more come than can "
                "be answered.",
            ),
        }
    )


def _bundle_key() -> Schema:
    return parts.obj(
        {
            "key_id": parts.text(
                "`k`, and 16 hexadecimal digits of the key's SHA-256.",
                example="k21fe31dfa154a261",
            ),
            "public_key": parts.text(
                "Ed25519: 32 bytes in base64.",
                example="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            ),
            "status": parts.choice(
                "Signs now; will sign next; signs as well, until it is retired.",
                ["current", "next", "former"],
                example="current",
            ),
        }
    )


def _limits() -> Schema:
    return parts.obj(
        {
            "body_bytes": parts.whole(
                "Bytes of a request's body on the wire.", example=262_144
            ),
            "inflated_bytes": parts.whole(
                "Bytes of a request's body after decompression.", example=1_048_576
            ),
            "zstd_window_bytes": parts.whole(
                "Bytes of window that a zstd frame may ask for.", example=8_388_608
            ),
            "depth": parts.whole("Levels that JSON may nest.", example=8),
            "fields": parts.whole(
                "Fields that a sync in protobuf and its delta may have, without those "
                "inside of patterns.",
                example=1_088,
            ),
            "patterns_per_sync": parts.whole(
                "Patterns in the three lists of a delta together.", example=64
            ),
            "patterns_per_device": parts.whole(
                "Patterns that are kept of one TV.", example=256
            ),
            "content_ids_per_pattern": parts.whole(
                "Contents that a pattern names.", example=8
            ),
            "content_id_length": parts.whole(
                "Characters of a content's id.", example=64
            ),
            "genre_hints_per_pattern": parts.whole(
                "Genres that a pattern names.", example=8
            ),
            "genre_hint_length": parts.whole("Characters of a genre.", example=32),
            "embedding_dimensions": parts.whole(
                "Numbers of an embedding, exactly.", example=384
            ),
            "embedding_norm_min": parts.number(
                "Shortest length of an embedding.", example=0.001
            ),
            "embedding_norm_max": parts.number(
                "Greatest length of an embedding.", example=1000.0
            ),
            "contents_per_request": parts.whole(
                "Contents in one request to write them.", example=100
            ),
        },
        description="What is refused beyond.",
    )


def _federation() -> Schema:
    return parts.obj(
        {
            "min_quality_threshold": parts.fraction(
                "A pattern with a success rate below it is not federated.",
                example=0.8,
            ),
            "min_devices_per_pattern": parts.whole(
                "TVs that stand behind anything published, at least.", example=50
            ),
            "min_source_count": parts.whole(
                "Shards that stand behind a global pattern, at least.", example=3
            ),
            "interval_seconds": parts.whole(
                "Seconds from round to round.", example=3_600
            ),
        },
        description="What is published, and how often.",
    )

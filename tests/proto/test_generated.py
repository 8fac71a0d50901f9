"""The schema and its generated code belong together, and every word is explained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from constellation.v1 import context_pb2, embedding_pb2, sync_pb2
from patterns.context import ContentType, DayOfWeek, TimeOfDay
from sync.embeddings import EmbeddingEncoding
from sync.fields import codes_by_name
from sync.messages import ReplyDetail

ROOT = Path(settings.BASE_DIR)
SCHEMA = ROOT / "proto"
PROTOS = sorted(SCHEMA.rglob("*.proto"))


def test_generated_code_is_what_make_proto_generates(tmp_path):
    protoc(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", *map(str, PROTOS))
    service = SCHEMA / "constellation" / "v1" / "service.proto"
    protoc(f"--grpc_python_out={tmp_path}", str(service))

    assert generated_below(tmp_path) == generated_below(ROOT)


def protoc(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", str(SCHEMA), *arguments],
        check=True,
    )


def generated_below(root: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in (root / "constellation" / "v1").glob("*_pb2*.py*")
    }


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_every_message_field_value_and_rpc_has_a_comment(path):
    lines = path.read_text().splitlines()
    declares = re.compile(
        r"\s*(message|enum|oneof|rpc|service)\b|.*= \d+;|.*\breturns\b"
    )

    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if declares.match(line) and not before.lstrip().startswith("//")
    ]

    assert bare == []


@pytest.mark.parametrize(
    ("enum", "choices", "prefix"),
    [
        (context_pb2.TimeOfDay, TimeOfDay, "TIME_OF_DAY"),
        (context_pb2.DayOfWeek, DayOfWeek, "DAY_OF_WEEK"),
        (context_pb2.ContentType, ContentType, "CONTENT_TYPE"),
        (embedding_pb2.EmbeddingEncoding, EmbeddingEncoding, "EMBEDDING_ENCODING"),
        (sync_pb2.ReplyDetail, ReplyDetail, "REPLY_DETAIL"),
    ],
)
def test_enums_have_the_codes_and_words_of_the_server(enum, choices, prefix):
    expected = {
        f"{prefix}_{word.upper()}": code
        for word, code in codes_by_name(choices).items()
    }

    assert dict(enum.items()) == {f"{prefix}_UNSPECIFIED": 0} | expected

"""Bodies on the wire: encodings both ways, limits at and one past, hostile ones."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tracemalloc
from uuid import uuid4

import orjson
import pytest
import zstandard
from django.conf import settings
from prometheus_client import REGISTRY

from sync import encodings, parsers
from sync.exceptions import BodyInflatesTooLarge, MalformedBody
from tests.sync.television import SYNC, addition

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

KIB, MIB = 1024, 1024 * 1024


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zstd_without_size(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()


def zstd_with_window(log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=log)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(b"{}") + stream.flush()


def split(data: bytes) -> tuple[bytes, bytes]:
    return data[:100], data[100:]


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("zstd", zstd),
        ("zstd", zstd_without_size),
        # Several frames, or members, make one stream.
        ("zstd", lambda data: b"".join(map(zstd, split(data)))),
        ("gzip", gzip.compress),
        ("gzip", lambda data: b"".join(map(gzip.compress, split(data)))),
        ("x-gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("identity", bytes),
        # A skippable frame says nothing to anybody.
        ("zstd", lambda data: struct.pack("<II", 0x184D2A50, 3) + b"abc" + zstd(data)),
    ],
)
def test_encoded_body_is_understood(vega_tv, encoding, encode):
    pattern_id = uuid4()
    body = orjson.dumps(vega_tv.body(added=[addition(pattern_id)]))

    response = vega_tv.post(encode(body), content_encoding=encoding)

    assert response.status_code == 200, response.content
    assert set(vega_tv.stored()) == {pattern_id}


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "compress", "*"])
def test_unknown_encoding_is_refused_with_those_that_are_known(vega_tv, encoding):
    response = vega_tv.post(vega_tv.body(), content_encoding=encoding)

    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_encoding"
    assert response.json()["accepted"] == "zstd, gzip, identity"
    assert response["Accept-Encoding"] == "zstd, gzip"


def padded(vega_tv, size: int) -> bytes:
    """A good request of exactly this many bytes; an unknown field fills it up."""
    body = orjson.dumps(vega_tv.body() | {"pad": ""})
    return body.replace(b'"pad":""', b'"pad":"' + b"x" * (size - len(body)) + b'"')


def test_wire_limit_is_256_kib(vega_tv):
    assert vega_tv.post(padded(vega_tv, 256 * KIB)).status_code == 200

    response = vega_tv.post(padded(vega_tv, 256 * KIB + 1))

    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"
    assert response.json()["limit"] == 256 * KIB


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("zstd", zstd), ("zstd", zstd_without_size), ("gzip", gzip.compress)],
)
def test_inflated_limit_is_1_mib(vega_tv, encoding, encode):
    fits, too_large = padded(vega_tv, MIB), padded(vega_tv, MIB + 1)
    assert vega_tv.post(encode(fits), content_encoding=encoding).status_code == 200

    response = vega_tv.post(encode(too_large), content_encoding=encoding)

    assert response.status_code == 413
    assert response.json()["code"] == "body_inflates_too_large"
    assert response.json()["limit"] == MIB


class Unread(io.RawIOBase):
    """A stream that nobody may touch."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("The body was read.")


def test_stated_length_above_the_limit_is_refused_unread(vega_tv):
    response = post_raw(vega_tv, Unread(), CONTENT_LENGTH=str(256 * KIB + 1))

    assert response.json()["code"] == "body_too_large"


class Endless(io.RawIOBase):
    """A chunked body that goes on for ever."""

    def __init__(self) -> None:
        self.sent_bytes = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "read without a bound"
        self.sent_bytes += size
        return b" " * size


def post_raw(vega_tv, stream: io.IOBase, **environ):
    """Hand a stream on as a server does; the test client would read it itself."""
    return vega_tv.client.generic(
        "POST",
        SYNC,
        headers={"authorization": vega_tv.authorization},
        **{"CONTENT_TYPE": "application/json", "wsgi.input": stream} | environ,
    )


def chunked(vega_tv, stream: io.IOBase):
    """Send a body without a Content-Length, which ends where the stream ends."""
    return post_raw(vega_tv, stream, **{"wsgi.input_terminated": True})


def test_body_without_a_stated_length_is_read(vega_tv):
    body = orjson.dumps(vega_tv.body(added=[addition()]))

    response = chunked(vega_tv, io.BytesIO(body))

    assert response.status_code == 200, response.content
    assert len(vega_tv.stored()) == 1


def test_body_without_a_stated_length_is_read_to_the_limit_only(vega_tv):
    stream = Endless()

    response = chunked(vega_tv, stream)

    assert response.json()["code"] == "body_too_large"
    assert stream.sent_bytes == 256 * KIB + 1


def received_bytes() -> float:
    name, of_vega = "constellation_sync_received_bytes_total", {"shard_id": "0"}
    return REGISTRY.get_sample_value(name, of_vega) or 0.0


def test_bytes_that_arrived_are_counted(vega_tv):
    body = orjson.dumps(vega_tv.body(added=[addition()]))
    before = received_bytes()

    chunked(vega_tv, io.BytesIO(body))

    assert received_bytes() - before == len(body)


def test_bytes_that_were_only_announced_are_not_counted(vega_tv):
    before = received_bytes()

    post_raw(vega_tv, Unread(), CONTENT_LENGTH="9" * 17)

    assert received_bytes() == before


HOSTILE_JSON = {
    "white space": b" ",
    "cut short": b'{"device_id": "',
    "not json": b"hello",
    "nested lists": b"[" * 200_000,
    "nested and closed": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "nine levels": b"[" * 9 + b"]" * 9,
    "brackets that don't match": b"[}",
    "an integer of 4,000 digits": b'{"delta": {"local_version": ' + b"9" * 4000 + b"}}",
    "a number beyond float64": b'{"base_version": 1e400}',
    "NaN": b'{"base_version": NaN}',
    "Infinity": b'{"base_version": -Infinity}',
    "bad UTF-8": b'{"device_id": "\xff\xfe"}',
    "overlong UTF-8": b'{"device_id": "\xc0\x80"}',
    "a surrogate in UTF-8": b'{"device_id": "\xed\xa0\x80"}',
    "a lone surrogate": rb'{"device_id": "\ud800"}',
    "UTF-16": '{"device_id": ""}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"device_id": ""}',
    "two documents": b"{}{}",
    "a trailing comma": b'{"delta": {},}',
    "a comment": b"{} // nothing",
    "a quote that never ends": b'{"' + rb"\"" * 100_000,
    "a backslash at the end": b'{"\\',
    "single quotes": b"{'device_id': 1}",
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_hostile_json_is_malformed(vega_tv, name):
    response = vega_tv.post(HOSTILE_JSON[name])

    assert response.status_code == 400, response.content
    assert response.json()["code"] == "malformed_body"


def test_empty_body_is_malformed(vega_tv):
    response = post_raw(vega_tv, io.BytesIO(), CONTENT_LENGTH="0")

    assert response.status_code == 400
    assert response.json()["code"] == "malformed_body"


HOSTILE_STREAMS = {
    "not zstd": ("zstd", b"hello"),
    "zstd cut short": ("zstd", zstd(b"{}" * 1000)[:-3]),
    "zstd header alone": ("zstd", zstd(b"{}")[:5]),
    "zstd and rubbish": ("zstd", zstd(b"{}") + b"rubbish"),
    "gzip called zstd": ("zstd", gzip.compress(b"{}")),
    "not gzip": ("gzip", b"hello"),
    "gzip cut short": ("gzip", gzip.compress(b"{}" * 1000)[:-3]),
    "gzip with a wrong sum": ("gzip", gzip.compress(b"{}")[:-8] + bytes(8)),
    "gzip and rubbish": ("gzip", gzip.compress(b"{}") + b"rubbish"),
    "zlib called gzip": ("gzip", b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9"),
}


@pytest.mark.parametrize("name", HOSTILE_STREAMS)
def test_hostile_stream_is_malformed(vega_tv, name):
    encoding, body = HOSTILE_STREAMS[name]

    response = vega_tv.post(body, content_encoding=encoding)

    assert response.status_code == 400, response.content
    assert response.json()["code"] == "malformed_body"


def test_zstd_window_above_8_mib_is_refused(vega_tv):
    response = vega_tv.post(zstd_with_window(24), content_encoding="zstd")

    assert response.status_code == 413
    assert response.json()["code"] == "body_inflates_too_large"


BOMBS = {
    # The first states its 200 MiB and is refused for it, the second doesn't.
    "zstd": ("zstd", zstd(bytes(200 * MIB))),
    "zstd without size": ("zstd", zstd_without_size(bytes(200 * MIB))),
    "zstd in frames": ("zstd", zstd_without_size(bytes(MIB // 2)) * 500),
    "gzip": ("gzip", gzip.compress(bytes(100 * MIB), 6)),
    "gzip in members": ("gzip", gzip.compress(bytes(MIB // 2)) * 200),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_costs_no_more_than_an_honest_body(name):
    encoding, body = BOMBS[name]
    assert len(body) <= settings.BODY_LIMIT_BYTES

    tracemalloc.start()
    try:
        with pytest.raises(BodyInflatesTooLarge):
            encodings.inflate(body, encoding)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * MIB


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_at_the_door(vega_tv, name):
    encoding, body = BOMBS[name]

    response = vega_tv.post(body, content_encoding=encoding)

    assert response.status_code == 413
    assert response.json()["code"] == "body_inflates_too_large"


def test_frame_that_lies_about_its_size_is_refused(vega_tv):
    """8 bytes stated, 4 MiB inside: the size in a header is a claim."""
    honest = bytearray(zstd(bytes(4 * MIB)))
    parameters = zstandard.get_frame_parameters(bytes(honest))
    assert parameters.content_size == 4 * MIB
    at = honest.index(struct.pack("<I", 4 * MIB))
    honest[at : at + 4] = struct.pack("<I", 8)

    response = vega_tv.post(bytes(honest), content_encoding="zstd")

    assert response.status_code in (400, 413)


def test_random_bytes_are_never_a_server_error(vega_tv):
    rng = random.Random(17)
    for encoding in ("identity", "zstd", "gzip") * 20:
        body = rng.randbytes(rng.randrange(400))
        magic = {"zstd": b"\x28\xb5\x2f\xfd", "gzip": b"\x1f\x8b\x08"}
        if rng.random() < 0.5:
            body = magic.get(encoding, b"{") + body

        response = vega_tv.post(body, content_encoding=encoding)

        assert response.status_code in (400, 413), body


def depth(document: str) -> int:
    """How deep brackets nest, letter by letter."""
    deepest = level = 0
    is_in_string = is_escaped = False
    for letter in document:
        if is_escaped:
            is_escaped = False
        elif is_in_string:
            is_escaped = letter == "\\"
            is_in_string = letter != '"'
        elif letter == '"':
            is_in_string = True
        elif letter in "[{":
            level += 1
            deepest = max(deepest, level)
        elif letter in "]}":
            level -= 1
    return deepest


def random_document(rng: random.Random, level: int = 0):
    names = ['a"b', "[[[[", "}", "\\", 'x\\"[', "", "é[", "]]"]
    kind = rng.randrange(4) if level < 11 else 3
    if kind == 0:
        return [random_document(rng, level + 1) for _ in range(rng.randrange(3))]
    if kind == 1:
        return {
            rng.choice(names): random_document(rng, level + 1)
            for _ in range(rng.randrange(3))
        }
    if kind == 2:
        return [random_document(rng, level + 1)]
    return rng.choice([rng.choice(names), 1, None, True])


def test_depth_is_counted_outside_of_strings():
    rng = random.Random(3)
    seen = set()
    for _ in range(3000):
        document = orjson.dumps(random_document(rng))
        expected = depth(document.decode())
        seen.add(expected > parsers.DEPTH_LIMIT)

        assert parsers.nests_deeper(document, parsers.DEPTH_LIMIT) == (
            expected > parsers.DEPTH_LIMIT
        ), document

    assert seen == {True, False}


def test_eight_levels_are_fine():
    assert parsers.loads(b"[" * 8 + b"]" * 8) == [[[[[[[[]]]]]]]]
    with pytest.raises(MalformedBody, match="nest deeper than 8"):
        parsers.loads(b"[" * 9 + b"]" * 9)


@pytest.mark.parametrize(
    ("accept_encoding", "encoding"),
    [
        ("", ""),
        ("identity", ""),
        ("br", ""),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd;q=0", ""),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "gzip"),
        ("gzip;q=0.3, identity;q=0.9", ""),
        ("GZIP ; Q=0.8", "gzip"),
        ("gzip;q=lots", ""),
        ("gzip;q=7", ""),
    ],
)
def test_reply_is_encoded_as_its_caller_likes_best(accept_encoding, encoding):
    assert encodings.preferred(accept_encoding) == encoding


def test_short_reply_is_left_as_it_is(vega_tv):
    response = vega_tv.post(vega_tv.body(global_version=0), accept_encoding="zstd")

    assert "Content-Encoding" not in response
    assert "Accept-Encoding" in response["Vary"]

"""The bytes of a bundle, compressed once, as hard as it goes."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from hashlib import sha256

import zstandard

#: Made once a round and sent a million times.
ZSTD_LEVEL = 19
GZIP_LEVEL = 9

#: A coding that leaves more than this of the bytes isn't worth a TV's time.
WORTH_ENCODING_FRACTION = 0.97

#: What RFC 9659 lets a decoder expect of HTTP.
_ZSTD_WINDOW_LOG = 23


@dataclass(frozen=True, eq=False)
class Payload:
    """A bundle's bytes; those with a coding are None where it saves too little."""

    #: Of ``identity``, in hexadecimal.
    sha256: str
    identity: bytes
    zstd: bytes | None
    gzip: bytes | None


def payload(identity: bytes) -> Payload:
    """Compress; the same bytes give the same payload."""
    return Payload(
        sha256=sha256(identity).hexdigest(),
        identity=identity,
        zstd=_if_worth_it(_zstd(identity), identity),
        gzip=_if_worth_it(
            gzip.compress(identity, compresslevel=GZIP_LEVEL, mtime=0), identity
        ),
    )


def _zstd(identity: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL, source_size=len(identity)
    )
    if parameters.window_log > _ZSTD_WINDOW_LOG:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            ZSTD_LEVEL, source_size=len(identity), window_log=_ZSTD_WINDOW_LOG
        )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(identity)


def _if_worth_it(encoded: bytes, identity: bytes) -> bytes | None:
    is_worth_it = len(encoded) < WORTH_ENCODING_FRACTION * len(identity)
    return encoded if is_worth_it else None

from constellation.v1 import content_pb2 as _content_pb2
from constellation.v1 import context_pb2 as _context_pb2
from constellation.v1 import embedding_pb2 as _embedding_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Delta(_message.Message):
    __slots__ = ("patterns_added", "patterns_updated", "patterns_removed", "local_version", "codebook_version", "packed")
    PATTERNS_ADDED_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_UPDATED_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_REMOVED_FIELD_NUMBER: _ClassVar[int]
    LOCAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CODEBOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    patterns_added: _containers.RepeatedCompositeFieldContainer[PatternAddition]
    patterns_updated: _containers.RepeatedCompositeFieldContainer[PatternUpdate]
    patterns_removed: _containers.RepeatedScalarFieldContainer[bytes]
    local_version: int
    codebook_version: int
    packed: PackedPatterns
    def __init__(self, patterns_added: _Optional[_Iterable[_Union[PatternAddition, _Mapping]]] = ..., patterns_updated: _Optional[_Iterable[_Union[PatternUpdate, _Mapping]]] = ..., patterns_removed: _Optional[_Iterable[bytes]] = ..., local_version: _Optional[int] = ..., codebook_version: _Optional[int] = ..., packed: _Optional[_Union[PackedPatterns, _Mapping]] = ...) -> None: ...

class PackedPatterns(_message.Message):
    __slots__ = ("added_ids", "embeddings", "success_rates", "sample_counts", "times_of_day", "days_of_week", "content_types", "genre_hints", "content_ids", "updated_ids", "new_success_rates", "additional_samples", "removed_ids", "names")
    ADDED_IDS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    TIMES_OF_DAY_FIELD_NUMBER: _ClassVar[int]
    DAYS_OF_WEEK_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    GENRE_HINTS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_IDS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_IDS_FIELD_NUMBER: _ClassVar[int]
    NEW_SUCCESS_RATES_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_IDS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    added_ids: bytes
    embeddings: _embedding_pb2.Embeddings
    success_rates: _containers.RepeatedScalarFieldContainer[int]
    sample_counts: _containers.RepeatedScalarFieldContainer[int]
    times_of_day: bytes
    days_of_week: bytes
    content_types: bytes
    genre_hints: _content_pb2.ReferenceLists
    content_ids: _content_pb2.ReferenceLists
    updated_ids: bytes
    new_success_rates: _containers.RepeatedScalarFieldContainer[int]
    additional_samples: _containers.RepeatedScalarFieldContainer[int]
    removed_ids: bytes
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, added_ids: _Optional[bytes] = ..., embeddings: _Optional[_Union[_embedding_pb2.Embeddings, _Mapping]] = ..., success_rates: _Optional[_Iterable[int]] = ..., sample_counts: _Optional[_Iterable[int]] = ..., times_of_day: _Optional[bytes] = ..., days_of_week: _Optional[bytes] = ..., content_types: _Optional[bytes] = ..., genre_hints: _Optional[_Union[_content_pb2.ReferenceLists, _Mapping]] = ..., content_ids: _Optional[_Union[_content_pb2.ReferenceLists, _Mapping]] = ..., updated_ids: _Optional[bytes] = ..., new_success_rates: _Optional[_Iterable[int]] = ..., additional_samples: _Optional[_Iterable[int]] = ..., removed_ids: _Optional[bytes] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class PatternAddition(_message.Message):
    __slots__ = ("id", "float32", "float16", "int8", "codes", "success_rate", "sample_count", "context", "created_at", "updated_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    FLOAT32_FIELD_NUMBER: _ClassVar[int]
    FLOAT16_FIELD_NUMBER: _ClassVar[int]
    INT8_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    float32: bytes
    float16: bytes
    int8: bytes
    codes: bytes
    success_rate: float
    sample_count: int
    context: _context_pb2.Context
    created_at: int
    updated_at: int
    def __init__(self, id: _Optional[bytes] = ..., float32: _Optional[bytes] = ..., float16: _Optional[bytes] = ..., int8: _Optional[bytes] = ..., codes: _Optional[bytes] = ..., success_rate: _Optional[float] = ..., sample_count: _Optional[int] = ..., context: _Optional[_Union[_context_pb2.Context, _Mapping]] = ..., created_at: _Optional[int] = ..., updated_at: _Optional[int] = ...) -> None: ...

class PatternUpdate(_message.Message):
    __slots__ = ("id", "new_success_rate", "additional_samples")
    ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    new_success_rate: float
    additional_samples: int
    def __init__(self, id: _Optional[bytes] = ..., new_success_rate: _Optional[float] = ..., additional_samples: _Optional[int] = ...) -> None: ...

class SimilarPatterns(_message.Message):
    __slots__ = ("id_deltas", "embeddings", "success_rates", "masses", "sample_counts", "times_of_day", "days_of_week", "content_types", "genre_hints", "content_ids")
    ID_DELTAS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATES_FIELD_NUMBER: _ClassVar[int]
    MASSES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNTS_FIELD_NUMBER: _ClassVar[int]
    TIMES_OF_DAY_FIELD_NUMBER: _ClassVar[int]
    DAYS_OF_WEEK_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    GENRE_HINTS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_IDS_FIELD_NUMBER: _ClassVar[int]
    id_deltas: _containers.RepeatedScalarFieldContainer[int]
    embeddings: _embedding_pb2.Embeddings
    success_rates: bytes
    masses: bytes
    sample_counts: _containers.RepeatedScalarFieldContainer[int]
    times_of_day: bytes
    days_of_week: bytes
    content_types: bytes
    genre_hints: _content_pb2.ReferenceLists
    content_ids: _content_pb2.ReferenceLists
    def __init__(self, id_deltas: _Optional[_Iterable[int]] = ..., embeddings: _Optional[_Union[_embedding_pb2.Embeddings, _Mapping]] = ..., success_rates: _Optional[bytes] = ..., masses: _Optional[bytes] = ..., sample_counts: _Optional[_Iterable[int]] = ..., times_of_day: _Optional[bytes] = ..., days_of_week: _Optional[bytes] = ..., content_types: _Optional[bytes] = ..., genre_hints: _Optional[_Union[_content_pb2.ReferenceLists, _Mapping]] = ..., content_ids: _Optional[_Union[_content_pb2.ReferenceLists, _Mapping]] = ...) -> None: ...

from constellation.v1 import content_pb2 as _content_pb2
from constellation.v1 import embedding_pb2 as _embedding_pb2
from constellation.v1 import pattern_pb2 as _pattern_pb2
from constellation.v1 import problem_pb2 as _problem_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplyDetail(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLY_DETAIL_UNSPECIFIED: _ClassVar[ReplyDetail]
    REPLY_DETAIL_FULL: _ClassVar[ReplyDetail]
    REPLY_DETAIL_COMPACT: _ClassVar[ReplyDetail]
REPLY_DETAIL_UNSPECIFIED: ReplyDetail
REPLY_DETAIL_FULL: ReplyDetail
REPLY_DETAIL_COMPACT: ReplyDetail

class SyncRequest(_message.Message):
    __slots__ = ("device_id", "delta", "base_version", "global_version", "embedding_encodings", "detail", "codebook_version")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CODEBOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    device_id: bytes
    delta: _pattern_pb2.Delta
    base_version: int
    global_version: int
    embedding_encodings: _containers.RepeatedScalarFieldContainer[_embedding_pb2.EmbeddingEncoding]
    detail: ReplyDetail
    codebook_version: int
    def __init__(self, device_id: _Optional[bytes] = ..., delta: _Optional[_Union[_pattern_pb2.Delta, _Mapping]] = ..., base_version: _Optional[int] = ..., global_version: _Optional[int] = ..., embedding_encodings: _Optional[_Iterable[_Union[_embedding_pb2.EmbeddingEncoding, str]]] = ..., detail: _Optional[_Union[ReplyDetail, str]] = ..., codebook_version: _Optional[int] = ...) -> None: ...

class SyncReply(_message.Message):
    __slots__ = ("global_news", "accepted", "local_version", "resync", "next_sync_seconds")
    GLOBAL_NEWS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    LOCAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    NEXT_SYNC_SECONDS_FIELD_NUMBER: _ClassVar[int]
    global_news: GlobalNews
    accepted: Accepted
    local_version: int
    resync: bool
    next_sync_seconds: int
    def __init__(self, global_news: _Optional[_Union[GlobalNews, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., local_version: _Optional[int] = ..., resync: _Optional[bool] = ..., next_sync_seconds: _Optional[int] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("stored", "filtered", "updated", "removed")
    STORED_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    stored: int
    filtered: int
    updated: int
    removed: int
    def __init__(self, stored: _Optional[int] = ..., filtered: _Optional[int] = ..., updated: _Optional[int] = ..., removed: _Optional[int] = ...) -> None: ...

class GlobalNews(_message.Message):
    __slots__ = ("global_version", "similar", "trending", "links", "names", "codebook_version")
    GLOBAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIMILAR_FIELD_NUMBER: _ClassVar[int]
    TRENDING_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    CODEBOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    global_version: int
    similar: _pattern_pb2.SimilarPatterns
    trending: _containers.RepeatedCompositeFieldContainer[_content_pb2.Trends]
    links: _content_pb2.Links
    names: _containers.RepeatedScalarFieldContainer[str]
    codebook_version: int
    def __init__(self, global_version: _Optional[int] = ..., similar: _Optional[_Union[_pattern_pb2.SimilarPatterns, _Mapping]] = ..., trending: _Optional[_Iterable[_Union[_content_pb2.Trends, _Mapping]]] = ..., links: _Optional[_Union[_content_pb2.Links, _Mapping]] = ..., names: _Optional[_Iterable[str]] = ..., codebook_version: _Optional[int] = ...) -> None: ...

class PullRequest(_message.Message):
    __slots__ = ("device_id", "global_version", "embedding_encodings", "detail", "codebook_version")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CODEBOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    device_id: bytes
    global_version: int
    embedding_encodings: _containers.RepeatedScalarFieldContainer[_embedding_pb2.EmbeddingEncoding]
    detail: ReplyDetail
    codebook_version: int
    def __init__(self, device_id: _Optional[bytes] = ..., global_version: _Optional[int] = ..., embedding_encodings: _Optional[_Iterable[_Union[_embedding_pb2.EmbeddingEncoding, str]]] = ..., detail: _Optional[_Union[ReplyDetail, str]] = ..., codebook_version: _Optional[int] = ...) -> None: ...

class PullReply(_message.Message):
    __slots__ = ("global_news", "local_version", "next_sync_seconds")
    GLOBAL_NEWS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_SYNC_SECONDS_FIELD_NUMBER: _ClassVar[int]
    global_news: GlobalNews
    local_version: int
    next_sync_seconds: int
    def __init__(self, global_news: _Optional[_Union[GlobalNews, _Mapping]] = ..., local_version: _Optional[int] = ..., next_sync_seconds: _Optional[int] = ...) -> None: ...

class StreamSyncRequest(_message.Message):
    __slots__ = ("sequence", "sync")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    sync: SyncRequest
    def __init__(self, sequence: _Optional[int] = ..., sync: _Optional[_Union[SyncRequest, _Mapping]] = ...) -> None: ...

class StreamSyncReply(_message.Message):
    __slots__ = ("sequence", "reply", "problem")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reply: SyncReply
    problem: _problem_pb2.Problem
    def __init__(self, sequence: _Optional[int] = ..., reply: _Optional[_Union[SyncReply, _Mapping]] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ...) -> None: ...

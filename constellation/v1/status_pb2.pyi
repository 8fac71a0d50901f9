from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetClusterStatusRequest(_message.Message):
    __slots__ = ("shard_id",)
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    shard_id: int
    def __init__(self, shard_id: _Optional[int] = ...) -> None: ...

class ClusterStatus(_message.Message):
    __slots__ = ("version", "global_version", "shards")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    version: str
    global_version: int
    shards: _containers.RepeatedCompositeFieldContainer[ShardStatus]
    def __init__(self, version: _Optional[str] = ..., global_version: _Optional[int] = ..., shards: _Optional[_Iterable[_Union[ShardStatus, _Mapping]]] = ...) -> None: ...

class ShardStatus(_message.Message):
    __slots__ = ("shard_id", "name", "region", "state", "max_devices", "total_devices", "active_devices", "patterns_stored", "sync_requests_per_min", "avg_sync_latency_ms", "reachable")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ShardStatus.State]
        STATE_ACTIVE: _ClassVar[ShardStatus.State]
        STATE_DRAINING: _ClassVar[ShardStatus.State]
    STATE_UNSPECIFIED: ShardStatus.State
    STATE_ACTIVE: ShardStatus.State
    STATE_DRAINING: ShardStatus.State
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MAX_DEVICES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_DEVICES_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_DEVICES_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_STORED_FIELD_NUMBER: _ClassVar[int]
    SYNC_REQUESTS_PER_MIN_FIELD_NUMBER: _ClassVar[int]
    AVG_SYNC_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    shard_id: int
    name: str
    region: str
    state: ShardStatus.State
    max_devices: int
    total_devices: int
    active_devices: int
    patterns_stored: int
    sync_requests_per_min: float
    avg_sync_latency_ms: float
    reachable: bool
    def __init__(self, shard_id: _Optional[int] = ..., name: _Optional[str] = ..., region: _Optional[str] = ..., state: _Optional[_Union[ShardStatus.State, str]] = ..., max_devices: _Optional[int] = ..., total_devices: _Optional[int] = ..., active_devices: _Optional[int] = ..., patterns_stored: _Optional[int] = ..., sync_requests_per_min: _Optional[float] = ..., avg_sync_latency_ms: _Optional[float] = ..., reachable: _Optional[bool] = ...) -> None: ...

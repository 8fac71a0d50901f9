import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrollRequest(_message.Message):
    __slots__ = ("enrolment_key", "device_id", "region", "model", "firmware")
    ENROLMENT_KEY_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    enrolment_key: str
    device_id: bytes
    region: str
    model: str
    firmware: str
    def __init__(self, enrolment_key: _Optional[str] = ..., device_id: _Optional[bytes] = ..., region: _Optional[str] = ..., model: _Optional[str] = ..., firmware: _Optional[str] = ...) -> None: ...

class EnrollReply(_message.Message):
    __slots__ = ("device_id", "token", "token_expires_at", "shard_id", "sync_url", "grpc_target", "global_version", "next_sync_seconds")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    SHARD_ID_FIELD_NUMBER: _ClassVar[int]
    SYNC_URL_FIELD_NUMBER: _ClassVar[int]
    GRPC_TARGET_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_SYNC_SECONDS_FIELD_NUMBER: _ClassVar[int]
    device_id: bytes
    token: str
    token_expires_at: _timestamp_pb2.Timestamp
    shard_id: int
    sync_url: str
    grpc_target: str
    global_version: int
    next_sync_seconds: int
    def __init__(self, device_id: _Optional[bytes] = ..., token: _Optional[str] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., shard_id: _Optional[int] = ..., sync_url: _Optional[str] = ..., grpc_target: _Optional[str] = ..., global_version: _Optional[int] = ..., next_sync_seconds: _Optional[int] = ...) -> None: ...

from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ReferenceLists(_message.Message):
    __slots__ = ("counts", "references")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    counts: bytes
    references: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, counts: _Optional[bytes] = ..., references: _Optional[_Iterable[int]] = ...) -> None: ...

class Trends(_message.Message):
    __slots__ = ("region", "references", "scores")
    REGION_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    region: str
    references: _containers.RepeatedScalarFieldContainer[int]
    scores: bytes
    def __init__(self, region: _Optional[str] = ..., references: _Optional[_Iterable[int]] = ..., scores: _Optional[bytes] = ...) -> None: ...

class Links(_message.Message):
    __slots__ = ("references", "counts", "related_deltas", "places", "weights")
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    RELATED_DELTAS_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    references: _containers.RepeatedScalarFieldContainer[int]
    counts: bytes
    related_deltas: _containers.RepeatedScalarFieldContainer[int]
    places: bytes
    weights: bytes
    def __init__(self, references: _Optional[_Iterable[int]] = ..., counts: _Optional[bytes] = ..., related_deltas: _Optional[_Iterable[int]] = ..., places: _Optional[bytes] = ..., weights: _Optional[bytes] = ...) -> None: ...

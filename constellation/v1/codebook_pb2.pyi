from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Codebook(_message.Message):
    __slots__ = ("version", "mean", "basis", "basis_scales", "centroids", "centroid_scales")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    BASIS_SCALES_FIELD_NUMBER: _ClassVar[int]
    CENTROIDS_FIELD_NUMBER: _ClassVar[int]
    CENTROID_SCALES_FIELD_NUMBER: _ClassVar[int]
    version: int
    mean: _containers.RepeatedScalarFieldContainer[float]
    basis: bytes
    basis_scales: _containers.RepeatedScalarFieldContainer[float]
    centroids: bytes
    centroid_scales: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, version: _Optional[int] = ..., mean: _Optional[_Iterable[float]] = ..., basis: _Optional[bytes] = ..., basis_scales: _Optional[_Iterable[float]] = ..., centroids: _Optional[bytes] = ..., centroid_scales: _Optional[_Iterable[float]] = ...) -> None: ...

from constellation.v1 import device_pb2 as _device_pb2
from constellation.v1 import status_pb2 as _status_pb2
from constellation.v1 import sync_pb2 as _sync_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

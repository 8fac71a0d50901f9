"""The messages of ``proto/constellation/v1/``, part by part.

``sync/protobuf_wire.py`` puts them together, and is what the doors call.
"""

"""Measurements that stand behind the design. Run as ``python -m benchmarks.<name>``."""

from __future__ import annotations

"""The one error a kernel raises for input it cannot work with."""

from __future__ import annotations


class KernelInputError(ValueError):
    """Arrays whose shapes, ranges or order disagree with what a kernel was promised."""

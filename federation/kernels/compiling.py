"""Loops over arrays that are compiled, where numpy would go over memory many times."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


def compiled(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Compile a function when it is first called; threads run it side by side.

    Parameters
    ----------
    function : callable
        Takes arrays and numbers, calls no other function of ours. As it is written, in
        ``__wrapped__``, it gives the same, slowly.

    Returns
    -------
    callable
        What is compiled is kept beside the source or in the user's cache folder, if
        one can be written to: then no other process compiles it again.
    """

    @cache
    def machine_code() -> Callable[..., Any]:
        # Only processes that read shards have the compiler in their memory.
        import numba

        try:
            return numba.njit(function, nogil=True, cache=True)
        except RuntimeError:  # there is no folder to keep it in
            return numba.njit(function, nogil=True)

    @wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        result: Result = machine_code()(*args, **kwargs)
        return result

    return call

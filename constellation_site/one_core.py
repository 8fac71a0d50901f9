"""What processes do that are one a core: leave the other cores to the others.

BLAS splits a product among threads that wait for each other in busy loops. With a
process on every core that gains nothing, and costs each sync three times its work.
"""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def use_one_core() -> None:
    """Have numpy multiply in the thread that asks, from now on."""
    threadpool_limits(limits=1, user_api="blas")

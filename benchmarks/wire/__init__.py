"""What a sync weighs, what it loses, what it costs: measured against its limits."""

from __future__ import annotations

import os

# Before numpy is there, and for all that is started from here. Many threads that each
# multiply small matrices only wait for each other, if BLAS starts more of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

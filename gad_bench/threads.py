"""How many threads a process may use, and where it must be one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


def thread_count() -> int:
    """Return OMP_NUM_THREADS, which launchers set for each job, else the cores that there are."""
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if named.isdecimal() and int(named):
        return int(named)
    from joblib import cpu_count  # heeds affinity and a container's share

    return int(cpu_count())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra to one thread, which sums in one order: the same last bit everywhere."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield

"""How many threads a process may use, and where it must be one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def thread_count() -> int:
    """Return OMP_NUM_THREADS, which launchers set for each job, else the cores that there are."""
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if named.isdecimal() and int(named):
        return int(named)
    from joblib import cpu_count  # heeds affinity and a container's share

    return int(cpu_count())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra to one thread, which sums in one order: the same last bit everywhere.

    Several threads may be inside at once.
    """
    libraries = _libraries(len(sys.modules))
    with libraries.select(user_api="openmp").limit(limits=1), _BLAS.limited(libraries):
        yield


class _Blas:
    """BLAS on one thread for as long as anybody is inside.

    Its number of threads is the process's, where OpenMP's is the calling thread's. So the last one
    out restores it: were it each for itself, the first one out would take the limit from those
    still inside, and the last one would restore the limit that it found.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.inside = 0
        self.limit: Any = None

    @contextlib.contextmanager
    def limited(self, libraries: ThreadpoolController) -> Iterator[None]:
        with self.lock:
            if not self.inside:
                self.limit = libraries.select(user_api="blas").limit(limits=1)
            self.inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside:
                    self.limit.restore_original_limits()


_BLAS = _Blas()


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:  # noqa: ARG001 - the cache's key
    """Find what is loaded, which takes 15 ms: anew when something was imported meanwhile."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

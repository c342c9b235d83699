"""How many threads a process may use."""

from __future__ import annotations

import os


def thread_count() -> int:
    """Return OMP_NUM_THREADS, which launchers set for each job, else the cores that there are.

    No number may follow from it: OpenVINO's and the scores do not (see `gad_bench.scoring`).
    """
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if named.isdecimal() and int(named):
        return int(named)
    from joblib import cpu_count  # heeds affinity and a container's share

    return int(cpu_count())

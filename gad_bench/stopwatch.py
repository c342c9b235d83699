"""Where a run's time goes."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds of a run's stages, one after the other.

    Attributes:
        seconds: by stage.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all stages and begin the first."""
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage, or a further part of one, and begin the next."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0) + now - self._last
        self._last = now

    def __str__(self) -> str:
        return ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())


SINCE_START = Stopwatch()
"""Begun by the command line, and carried on by a run on its own."""

"""The end of a run: its figures are drawn, then it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

Draw = Callable[[], None]
Record = Callable[[], None]
Wait = Callable[[], None]


class End(Protocol):
    """How a run ends: here and now, or while the next one runs."""

    def __call__(self, recording: ExitStack, draw: Draw | None, record: Record, wait: Wait) -> None:
        """Draw the figures, then record the run.

        Args:
            recording: the run, open in the tracking store; it is taken over, and closed when the
                run is recorded.
            draw: draws the figures, in this process or another; None for none.
            record: records what the run left, or has it recorded by another process.
            wait: waits until that has.
        """


def end_here(recording: ExitStack, draw: Draw | None, record: Record, wait: Wait) -> None:
    """Draw and record before anything else is done."""
    with recording.pop_all():
        if draw:
            draw()
        record()
    wait()

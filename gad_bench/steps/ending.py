"""The end of a run: its figures are drawn, then it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

Draw = Callable[[], None]
Record = Callable[[], None]


class End(Protocol):
    """How a run ends: here and now, or while the next one runs."""

    def __call__(self, recording: ExitStack, draw: Draw | None, record: Record) -> None:
        """Draw the figures, then record the run.

        Args:
            recording: the run, open in the tracking store; whoever ends it later takes it over.
            draw: draws the figures, in this process or another; None for none.
            record: records what the run left, in this process.
        """


def end_here(recording: ExitStack, draw: Draw | None, record: Record) -> None:  # noqa: ARG001
    """Draw and record before anything else is done."""
    if draw:
        draw()
    record()

"""How a run ends: its figures are drawn, then it is recorded; in a sweep, beside the next jobs."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from gad_bench.base.interrupt import held_interrupts, was_interrupted
from gad_bench.base.process import thread_count
from gad_bench.steps.ending import Draw, End, Record, end_here

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

Failed = Callable[[Exception], None]
MOST_PROCESSES = 3
"""So many draw as fast as the shortest jobs come."""


@dataclass(frozen=True)
class Ending:
    """What is left of a job whose figures are being drawn.

    Attributes:
        recording: the run, open in the tracking store.
        draw: draws the figures.
        drawn: done when another process has.
        record: records the job.
        failed: is told of the error where something of it fails.
    """

    recording: ExitStack
    draw: Draw
    drawn: Future[None]
    record: Record
    failed: Failed

    def finish(self) -> None:
        """Wait for the figures and record the job, or that it failed."""
        try:
            with self.recording:
                self._wait()
                self.record()
        except Exception as error:
            if not was_interrupted():  # else a library may have made an error of that
                self.failed(error)

    def _wait(self) -> None:
        try:
            self.drawn.result()
        except BrokenExecutor:  # that process was killed
            self.draw()


class Endings:
    """The jobs of this process that have their numbers, and not yet all of their figures.

    Where the process dies, theirs are among the runs that were never recorded as finished, and
    their folders among those without metrics.json.
    """

    def __init__(self) -> None:
        self.processes = min(thread_count() - 1, MOST_PROCESSES)
        self.pool: Executor | None = None
        self.pending: deque[Ending] = deque()

    def of(self, failed: Failed) -> End:
        """Return how a job ends; `failed` is told of an error that comes too late to be raised."""
        return partial(self._end, failed)

    def close(self) -> None:
        """Finish all."""
        while self.pending:
            self.pending.popleft().finish()
        if self.pool:
            self.pool.shutdown()
            self.pool = None

    def _end(self, failed: Failed, recording: ExitStack, draw: Draw | None, record: Record) -> None:
        """Let another process draw; where those have enough to do, draw in this one."""
        while self.pending and self.pending[0].drawn.done():
            self.pending.popleft().finish()
        drawn = self._submit(draw) if draw and len(self.pending) < 2 * self.processes else None
        if draw and drawn:
            self.pending.append(Ending(recording.pop_all(), draw, drawn, record, failed))
        else:
            end_here(recording, draw, record)

    def _submit(self, draw: Draw) -> Future[None] | None:
        """Draw in another process; None where one was killed, and from then on."""
        if self.pool is None:
            self.pool = _start(self.processes)
        try:
            with held_interrupts():
                return self.pool.submit(draw)
        except BrokenExecutor:
            self.processes = 0
            return None


def _start(processes: int) -> Executor:
    """Start processes; not by a fork: this one has threads, and locks that they may hold."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(processes, get_context("spawn"), initializer=_follow_parent)


def _follow_parent() -> None:
    """Leave an interrupt to the parent, which waits for what is being drawn, and die with it."""
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_die_after, args=(parent,), daemon=True).start()


def _die_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)

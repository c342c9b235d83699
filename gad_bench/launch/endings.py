"""How a run ends: its figures are drawn, then it is recorded; in a sweep, beside the next jobs."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from gad_bench.base.interrupt import held_interrupts, was_interrupted
from gad_bench.base.process import thread_count
from gad_bench.steps.ending import Draw, End, Record, Wait

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

Failed = Callable[[Exception], None]
MOST_PROCESSES = 3
"""So many draw as fast as the shortest jobs come."""
MOST_UNRECORDED = 2
"""So many may be at the process that records before the sweep waits for it."""


@dataclass(kw_only=True)
class Ending:
    """What is left of a job that has its numbers.

    Attributes:
        recording: the run, open in the tracking store.
        draw: draws the figures; None for none.
        drawn: done when another process has; None where they are there.
        record: records the job, or has it recorded.
        wait: waits until it is recorded.
        failed: is told of the error where something of it fails.
        is_open: whether the run is.
    """

    recording: ExitStack
    draw: Draw | None
    drawn: Future[None] | None
    record: Record
    wait: Wait
    failed: Failed
    is_open: bool = True

    def is_drawn(self) -> bool:
        """Tell whether the figures are there."""
        return self.drawn is None or self.drawn.done()

    def close(self) -> None:
        """Wait for the figures, and record the job or that it failed, if that is not done."""
        if self.is_open:
            self.is_open = False
            with self._or_failed(), self.recording:
                self._wait_for_figures()
                self.record()

    def finish(self) -> None:
        """Wait until all of it is done."""
        self.close()
        with self._or_failed():
            self.wait()

    def _wait_for_figures(self) -> None:
        try:
            if self.drawn:
                self.drawn.result()
        except BrokenExecutor:  # that process was killed
            if self.draw:
                self.draw()

    @contextmanager
    def _or_failed(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not was_interrupted():  # else a library may have made an error of that
                self.failed(error)


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

    def _end(
        self,
        failed: Failed,
        recording: ExitStack,
        draw: Draw | None,
        record: Record,
        wait: Wait,
    ) -> None:
        """Let another process draw; where those have enough to do, draw in this one."""
        drawn = self._submit(draw) if draw and self._undrawn() < 2 * self.processes else None
        if draw and not drawn:
            draw()
        self.pending.append(
            Ending(
                recording=recording.pop_all(),
                draw=draw,
                drawn=drawn,
                record=record,
                wait=wait,
                failed=failed,
            )
        )
        for ending in self.pending:
            if ending.is_drawn():
                ending.close()
        while len(self.pending) - self._undrawn() > MOST_UNRECORDED:
            self.pending.popleft().finish()

    def _undrawn(self) -> int:
        return sum(not ending.is_drawn() for ending in self.pending)

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

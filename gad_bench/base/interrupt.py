"""Ctrl-C, which nothing swallows."""

from __future__ import annotations

import _thread
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Timer, current_thread, main_thread
from typing import Any

AGAIN = 0.05  # seconds

_interrupted = False


def heed_interrupts() -> None:
    """Remember every interrupt from now on.

    A KeyboardInterrupt comes up wherever the main thread happens to be. In a destructor or a weak
    reference's callback Python prints and drops it; a bare `except:` or a converter in C++ turns it
    into an error like any other, after which a sweep would go on with its next job. So the signal
    itself is remembered; who runs jobs asks, and what Python drops is raised again.

    Where interrupts are ignored, as behind nohup, they stay so.
    """
    global _interrupted  # noqa: PLW0603 - a process is interrupted as a whole
    _interrupted = False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _raise_again


def ignore_interrupts() -> None:
    """Let no interrupt change the status any more: all is done, and Python is about to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def was_interrupted() -> bool:
    """Tell whether an interrupt came, whatever became of it."""
    return _interrupted


def end_if_interrupted() -> None:
    """Raise the interrupt that something swallowed.

    Raises:
        KeyboardInterrupt: one came.
    """
    if _interrupted:
        raise KeyboardInterrupt


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back, so that a process is started whole, and never meets one by itself.

    A new process takes over what this thread blocks. That alone does not keep Python from raising
    the interrupt here, once the signal has come to any other thread.
    """
    with _late_interrupt() if current_thread() is main_thread() else nullcontext():
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _late_interrupt() -> Iterator[None]:
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _interrupt(number: int, frame: object) -> None:
    global _interrupted  # noqa: PLW0603
    _interrupted = True
    signal.default_int_handler(number, frame)  # type: ignore[arg-type]


def _raise_again(dropped: Any) -> None:  # noqa: ANN401 - Python's own record
    """Interrupt the main thread once it is out of what dropped the interrupt."""
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        again = Timer(AGAIN, _thread.interrupt_main)
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(dropped)

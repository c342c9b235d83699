"""A process beside this one that does what it is asked, one thing after the other.

What takes long to import, and is not needed for what this one does meanwhile, is imported there.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gad_bench.base.interrupt import held_interrupts
from gad_bench.base.process import import_libraries

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Result = TypeVar("Result")


class CompanionEndedError(RuntimeError):
    """The process was killed before it had answered."""


class Companion:
    """A process that lives no longer than this one.

    Attributes:
        is_alive: whether it can still be asked, as far as is known.
    """

    def __init__(self, libraries: Sequence[str]) -> None:
        """Start it.

        Args:
            libraries: the modules that it imports before it does anything.
        """
        from multiprocessing import get_context

        spawning = get_context("spawn")  # a fork would take over locks that threads hold
        self._connection, theirs = spawning.Pipe()
        process = spawning.Process(target=_serve, args=(theirs, libraries), daemon=True)
        with held_interrupts():
            process.start()
        theirs.close()  # so that its end is noticed
        self._asked: deque[Answer[Any]] = deque()
        self.is_alive = True

    def ask(self, function: Callable[..., Result], *arguments: object) -> Answer[Result]:
        """Ask for a function's result, in this process's folder and environment, and go on.

        Raises:
            CompanionEndedError: the process is gone.
        """
        answer: Answer[Result] = Answer(self.take_next)
        question = Path.cwd(), dict(os.environ), function, arguments
        with self._noticing_its_end(), held_interrupts():
            self._connection.send(question)
            self._asked.append(answer)
        return answer

    def take_next(self) -> None:
        """Wait for the answer to the first question that has none.

        Raises:
            CompanionEndedError: the process is gone.
        """
        with self._noticing_its_end():
            self._connection.poll(None)
            with held_interrupts():
                outcome = self._connection.recv()
                self._asked.popleft().settle(*outcome)

    @contextlib.contextmanager
    def _noticing_its_end(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            self.is_alive = False
            raise CompanionEndedError("the process that does it was killed") from error


class Answer(Generic[Result]):
    """What a companion was asked for, perhaps not there yet."""

    def __init__(self, take_next: Callable[[], None]) -> None:
        self._take_next = take_next
        self._outcome: tuple[Result | None, Exception | None] | None = None

    def settle(self, result: Result | None, error: Exception | None) -> None:
        """Hold the result, or the error that came instead."""
        self._outcome = result, error

    def result(self) -> Result:
        """Wait for the result.

        Raises:
            Exception: what the function raised there.
            CompanionEndedError: the process was killed before.
        """
        while self._outcome is None:
            self._take_next()
        result, error = self._outcome
        if error is not None:
            raise error
        return result  # type: ignore[return-value]


def portable(error: Exception) -> Exception:
    """Return an error that another process can be told of, if need be another with its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a library's error makes of that
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _serve(connection: Connection, libraries: Sequence[str]) -> None:
    """Answer until nobody is left to ask; an interrupt is for who asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError):  # told where it is needed
        import_libraries(libraries)
    with contextlib.suppress(EOFError, OSError):  # that process has ended
        while True:
            folder, environment, function, arguments = connection.recv()
            try:
                os.chdir(folder)
                os.environ.update(environment)
                connection.send((function(*arguments), None))
            except Exception as error:
                connection.send((None, portable(error)))

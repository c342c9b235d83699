"""Runs recorded by a process beside this one, which need not import MLflow, nor wait for it."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gad_bench.base.companion import Answer, Companion, CompanionEndedError, portable
from gad_bench.base.errors import TrackingError
from gad_bench.tracking.interface import (
    NO_CURVES,
    Curves,
    DatasetInput,
    Description,
    ServedModel,
    SweepSummary,
    Tracker,
    until_ended,
)
from gad_bench.tracking.mlflow_runs import MLflow, MLflowRun

Result = TypeVar("Result")

_companion: Companion | None = None
_numbers = itertools.count()
_runs: dict[int, MLflowRun] = {}
"""What the companion itself holds: the runs that are open, by number."""


def start_companion() -> None:
    """Start the process that `aside` has runs recorded by, unless MLflow is here already."""
    global _companion  # noqa: PLW0603 - one for all trackers
    if "mlflow" not in sys.modules:
        _companion = Companion(["mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store"])


def aside(tracker: Tracker) -> Tracker:
    """Return what has a tracker's runs recorded beside this process, or the tracker itself."""
    if isinstance(tracker, MLflow) and _companion and _companion.is_alive:
        return MLflowAside(tracker, _companion)
    return tracker


@dataclass(frozen=True)
class MLflowAside:
    """MLflow in another process."""

    tracker: MLflow
    companion: Companion

    libraries = ()

    @property
    def viewer(self) -> str:
        """The address that shows the runs, after the command that serves it where it takes one."""
        return self._wait_for(_viewer, self.tracker)

    @contextlib.contextmanager
    def run(self, description: Description) -> Iterator[RunAside]:
        """Open an MLflow run, soon: `require_open` waits for it; it ends as `MLflow.run` tells."""
        number = next(_numbers)
        with _told():
            opened = self.companion.ask(_open_run, self.tracker, number, description)
        with until_ended(RunAside(self, number, opened)) as tracked:
            yield tracked

    def restore(self, description: Description, output: Path) -> bool:
        """Fetch the files of a finished run, in this process; see `MLflow.restore`."""
        return self.tracker.restore(description, output)

    def open_sweep(self, sweep: str, title: str) -> None:
        """Open the run that a sweep's runs nest under; see `MLflow.open_sweep`."""
        self._wait_for(MLflow.open_sweep, self.tracker, sweep, title)

    def close_sweep(self, sweep: str, summary: SweepSummary) -> None:
        """Record what became of a sweep's jobs; see `MLflow.close_sweep`."""
        self._wait_for(MLflow.close_sweep, self.tracker, sweep, summary)

    def _wait_for(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Return a function's result, which this process finds where the other was killed."""
        try:
            return self.companion.ask(function, *arguments).result()
        except CompanionEndedError:
            return function(*arguments)


@dataclass(frozen=True)
class RunAside:
    """A run that another process records.

    Attributes:
        place: where.
        number: by which that process knows it.
        opened: the run's id, once it is open.
        asked: what else that process was asked to record.
    """

    place: MLflowAside
    number: int
    opened: Answer[str]
    asked: list[Answer[None]] = field(default_factory=list)

    def require_open(self) -> None:
        """Wait until the run is open.

        Raises:
            UserError: the store cannot be reached.
        """
        with _told():
            self.opened.result()

    def log(
        self,
        metrics: Mapping[str, float],
        dataset: DatasetInput,
        files: Path,
        curves: Curves = NO_CURVES,
    ) -> None:
        """Have a finished run recorded; `wait` tells what went wrong."""
        self._ask(MLflowRun.log, dict(metrics), dataset, files.absolute(), dict(curves))

    def log_model(self, model: contextlib.AbstractContextManager[ServedModel]) -> None:
        """Record what can be served of the run, in this process; see `MLflowRun.log_model`."""
        self.require_open()
        self.place.tracker.opened(self.opened.result()).log_model(model)

    def end(self) -> None:
        """Have it recorded that the run is done, if nothing goes wrong before."""
        self._ask(MLflowRun.end)

    def wait(self) -> None:
        """Wait until all is recorded.

        Raises:
            UserError: the store cannot be reached.
            TrackingError: something could not be recorded.
        """
        self.require_open()
        with _told():
            for answer in self.asked:
                answer.result()

    def end_early(self, error: BaseException) -> None:
        """Record what ended the run before it was done."""
        told = portable(error) if isinstance(error, Exception) else error
        self._ask(MLflowRun.end_early, told)
        self.asked.pop().result()

    def _ask(self, step: Callable[..., None], *arguments: object) -> None:
        with _told():
            self.asked.append(self.place.companion.ask(_go_on, self.number, step, *arguments))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except CompanionEndedError as error:
        raise TrackingError(f"the run could not be recorded: {error}") from error


def _viewer(tracker: MLflow) -> str:
    return tracker.viewer


def _open_run(tracker: MLflow, number: int, description: Description) -> str:
    _runs[number] = tracker.open_run(description)
    return _runs[number].run_id


def _go_on(number: int, step: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
    """Record something more of a run, if nothing has ended it."""
    if number not in _runs:
        return
    try:
        step(_runs[number], *arguments)
    except Exception as error:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            _runs.pop(number).end_early(error)
        raise
    if step in (MLflowRun.end, MLflowRun.end_early):
        del _runs[number]

"""What is recorded of a run, a sweep and a detector, and what a tracker is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gad_bench.base.errors import UserError
from gad_bench.base.remote import PASSWORD

if TYPE_CHECKING:
    import pandas as pd

KEY = "key"  # the tag that holds the key of a run's results
DIGESTS, FILES = "digests", "files"  # tags: of a run's results, and the kinds of files that it left

Curves = Mapping[str, Sequence[float]]
"""Metrics that have a value an epoch, by name."""
NO_CURVES: Curves = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Description:
    """What identifies a run before it starts."""

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    sweep: str | None = None  # the name of the sweep that the run is a job of


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """The images that a run used: a name, where they lie, and a digest of their content."""

    name: str
    source: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """What became of a sweep."""

    metrics: Mapping[str, float]
    failed: bool
    text: str  # Markdown, shown on the page of the sweep's run
    files: Path  # a folder


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model that can be served over HTTP.

    Attributes:
        name: of the model within its run.
        code: the file that the server runs.
        folder: what that code reads.
        inputs: the types of the columns that go in, as MLflow names them.
        outputs: those of the columns that come out.
        example: a row of what goes in.
        requirements: the packages that it takes.
        about: for people, and to find the run.
    """

    name: str
    code: Path
    folder: Path
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: pd.DataFrame
    requirements: Sequence[str]
    about: Mapping[str, str]


class TrackedRun(Protocol):
    """A run that is being recorded."""

    def require_open(self) -> None:
        """Wait until the store has taken the run, as before work that would be in vain.

        Raises:
            UserError: the store cannot be reached.
        """

    def log(
        self,
        metrics: Mapping[str, float],
        dataset: DatasetInput,
        files: Path,
        curves: Curves = NO_CURVES,
    ) -> None:
        """Record a finished run: its metrics, its images, the files in a folder, and its curves."""

    def wait(self) -> None:
        """Wait until all of a run that has ended is recorded.

        Raises:
            UserError: the store cannot be reached.
            TrackingError: something could not be recorded.
        """

    def log_model(self, model: contextlib.AbstractContextManager[ServedModel]) -> None:
        """Record what can be served of the run; it is there for as long as the context is open."""


class EndingRun(Protocol):
    """A run whose end is recorded."""

    def end(self) -> None:
        """Record that the run is done."""

    def end_early(self, error: BaseException) -> None:
        """Record what ended the run before it was done."""


Ending = TypeVar("Ending", bound=EndingRun)


@contextlib.contextmanager
def until_ended(tracked: Ending) -> Iterator[Ending]:
    """Record a run's end: how, the block decides."""
    with ended_by_errors(tracked):
        yield tracked
        tracked.end()


@contextlib.contextmanager
def ended_by_errors(tracked: EndingRun) -> Iterator[None]:
    """Record that a run has ended early, where the block raises."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            tracked.end_early(error)
        raise


class Tracker(Protocol):
    """Where runs are recorded."""

    @property
    def viewer(self) -> str | None:
        """The command or address that shows the runs."""

    @property
    def libraries(self) -> Sequence[str]:
        """The modules that recording takes."""

    def run(self, description: Description) -> contextlib.AbstractContextManager[TrackedRun]:
        """Open a run; it ends as failed when the block raises."""

    def restore(self, description: Description, output: Path) -> bool:
        """Fetch the files of a finished run of the same key, if there is one, and tell so."""

    def open_sweep(self, sweep: str, title: str) -> None:
        """Open the run that a sweep's runs nest under, anew or again."""

    def close_sweep(self, sweep: str, summary: SweepSummary) -> None:
        """Record what became of a sweep's jobs."""


def without_password(text: str) -> str:
    """Return a text with the passwords of the addresses that it names blotted out."""
    return PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


def refuse_password(text: str) -> None:
    """Refuse an address, or an override that names one, that holds a password.

    Raises:
        UserError: says where else to give it.
    """
    if PASSWORD.search(text):
        raise UserError(
            "tracking.uri holds a password, which would be written to disk with the config: "
            "give it to MLflow by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
            "or to a database by PGPASSWORD"
        )

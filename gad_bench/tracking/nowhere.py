"""Record nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gad_bench.base.errors import UserError
from gad_bench.tracking.interface import (
    NO_CURVES,
    Curves,
    DatasetInput,
    Description,
    ServedModel,
    SweepSummary,
)


@dataclass(frozen=True, kw_only=True)
class NoTracking:
    """Record nothing."""

    viewer = None
    libraries = ()

    @contextlib.contextmanager
    def run(self, description: Description) -> Iterator[NoTracking]:  # noqa: ARG002
        """Open nothing."""
        yield self

    def require_open(self) -> None:
        """Nothing is to be opened."""

    def wait(self) -> None:
        """Nothing is recorded."""

    def log(
        self,
        metrics: Mapping[str, float],
        dataset: DatasetInput,
        files: Path,
        curves: Curves = NO_CURVES,
    ) -> None:
        """Record nothing."""

    def log_model(self, model: contextlib.AbstractContextManager[ServedModel]) -> None:
        """Record nothing."""

    def restore(self, description: Description, output: Path) -> bool:  # noqa: ARG002
        """Refuse.

        Raises:
            UserError: nothing is recorded that could be found again.
        """
        raise UserError("resume=true finds finished runs in MLflow: leave tracking=none out")

    def open_sweep(self, sweep: str, title: str) -> None:
        """Open nothing."""

    def close_sweep(self, sweep: str, summary: SweepSummary) -> None:
        """Record nothing."""

"""A sweep as a whole: where its jobs write, what became of them, and the run that holds them."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from gad_bench.config import build
from gad_bench.errors import UserError
from gad_bench.files import write_text
from gad_bench.launchers import require_launcher
from gad_bench.results import METRICS_FILE, RESTORED_FILE
from gad_bench.tracking import SweepSummary, Tracker

log = logging.getLogger(__name__)

UNRESOLVED = "UserError raised while resolving interpolation: "  # OmegaConf's own words
FAILURE_FILE = "failure.json"
SUMMARY = "summary"  # folder of a sweep for what is known at its end

Outcome = Literal["finished", "restored", "failed", "unfinished"]


@dataclass(frozen=True)
class Survey:
    """What became of a sweep's jobs.

    Attributes:
        outcomes: each job's folder and what became of the job, in the jobs' order.
        never_started: how many jobs left no trace.
    """

    outcomes: Sequence[tuple[Path, Outcome]]
    never_started: int

    @property
    def asked(self) -> int:
        """How many jobs there should be."""
        return len(self.outcomes) + self.never_started

    @property
    def counts(self) -> Counter[str]:
        """How many jobs had which outcome."""
        return Counter(outcome for _, outcome in self.outcomes)

    def folders(self, outcome: Outcome) -> list[Path]:
        """Return the folders of the jobs of an outcome."""
        return [folder for folder, found in self.outcomes if found == outcome]


@dataclass(frozen=True)
class Sweep:
    """A sweep that this process started."""

    name: str
    folder: Path
    tracker: Tracker

    def outcomes(self) -> Iterator[tuple[Path, Outcome]]:
        """Yield each job's folder and what became of the job, in the jobs' order."""
        folders = {path.parent for path in self.folder.rglob(".hydra")}
        for folder in sorted(folders, key=lambda folder: (len(folder.name), folder.name)):
            yield folder, _outcome(folder)

    def survey(self) -> Survey:
        """Look once at what became of all the jobs that were asked for."""
        from gad_bench.report.asked import asked_jobs

        outcomes = list(self.outcomes())
        asked_for = self.folder / "multirun.yaml"
        asked = len(asked_jobs(asked_for)) if asked_for.exists() else 0
        return Survey(outcomes, max(asked - len(outcomes), 0))

    def close(self, survey: Survey) -> None:
        """Record the sweep's outcome where its runs are recorded.

        Raises:
            TrackingError: it cannot be recorded.
        """
        jobs = pd.DataFrame([_job(folder, outcome) for folder, outcome in survey.outcomes])
        counts = survey.counts
        failed = counts["failed"] + counts["unfinished"] + survey.never_started
        write_text(self.folder / SUMMARY / "jobs.csv", jobs.to_csv(index=False))
        tables = self._report() if counts["finished"] + counts["restored"] else []
        summary = SweepSummary(
            metrics={
                "jobs": survey.asked,
                "jobs_failed": failed,
                "jobs_restored": counts["restored"],
            },
            failed=failed > 0,
            text="\n\n".join([*tables, _markdown(jobs)]),
            files=self.folder / SUMMARY,
        )
        self.tracker.close_sweep(self.name, summary)

    def _report(self) -> list[str]:
        """Write the report on the sweep and return its tables in Markdown."""
        from gad_bench.report.folders import read_folder
        from gad_bench.report.page import write_report
        from gad_bench.report.report import Request, make_report
        from gad_bench.report.text import to_markdown

        try:
            report = make_report(read_folder(self.folder), Request(where={}), self.name)
        except UserError as error:
            log.warning("no report: %s", error)
            return []
        write_report(report, self.folder / SUMMARY)
        return [to_markdown(table) for table in report.tables]


_started: Sweep | None = None


class SweepCallback(Callback):
    """Hydra's hook at a sweep's start."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        """Open the run that the jobs' runs nest under."""
        global _started  # noqa: PLW0603 - Hydra makes and keeps the callback itself
        name = str(config.hydra.sweep.dir)
        try:
            require_launcher(config.hydra.launcher._target_)
            _resolve_choices(config)
            tracker: Tracker = build(config.tracking)
            tracker.open_sweep(name, " ".join(config.hydra.overrides.task) or "sweep")
        except (UserError, OmegaConfBaseException) as error:  # Hydra swallows what is raised here
            reason = str(error).partition("\n")[0].removeprefix(UNRESOLVED)
            print(f"error: {reason}", file=sys.stderr)
            raise SystemExit(2) from None
        _started = Sweep(name, Path(name).absolute(), tracker)


def _resolve_choices(config: DictConfig) -> None:
    """Let `multirun.yaml` name the categories, whatever becomes of the data set."""
    sweeper = config.hydra.sweeper
    if sweeper.get("params"):
        with flag_override(config.hydra, "readonly", False):
            sweeper.params = OmegaConf.to_container(sweeper.params, resolve=True)


def forget_sweep() -> None:
    """Forget an earlier sweep of this process."""
    global _started  # noqa: PLW0603
    _started = None


def current_sweep() -> Sweep | None:
    """Return the sweep that this process started, None for a single run."""
    return _started


def sweep_name() -> str | None:
    """Return the name of the sweep that this job belongs to, in whatever process it runs."""
    settings = HydraConfig.get()
    return str(settings.sweep.dir) if settings.mode == RunMode.MULTIRUN else None


def read_failure(folder: Path) -> dict[str, Any]:
    """Return what a failed job's failure file says."""
    failure: dict[str, Any] = json.loads((folder / FAILURE_FILE).read_text(encoding="utf-8"))
    return failure


def _job(folder: Path, outcome: Outcome) -> dict[str, Any]:
    """Return a job's row of the summary."""
    overrides = OmegaConf.load(folder / ".hydra" / "overrides.yaml")
    row = {"job": folder.name, "outcome": outcome, "overrides": " ".join(map(str, overrides))}
    if outcome == "failed":
        return row | {"error": read_failure(folder)["error"]}
    if outcome == "unfinished":
        return row
    metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    return row | {"auroc": metrics["auroc"]}


def _markdown(jobs: pd.DataFrame) -> str:
    rows = [jobs.columns, ["---"] * len(jobs.columns), *jobs.astype(object).fillna("").to_numpy()]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _outcome(folder: Path) -> Outcome:
    if (folder / FAILURE_FILE).exists():
        return "failed"
    if not (folder / METRICS_FILE).exists():
        return "unfinished"
    return "restored" if (folder / RESTORED_FILE).exists() else "finished"

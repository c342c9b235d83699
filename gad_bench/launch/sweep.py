"""A sweep as a whole: where its jobs write, what became of them, and the run that holds them."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from gad_bench.base.command import IMPOSSIBLE
from gad_bench.base.errors import UserError
from gad_bench.base.files import write_text
from gad_bench.base.process import Stopwatch
from gad_bench.base.run_folder import (
    SUMMARY,
    State,
    job_folders,
    read_failure,
    read_metrics,
    state_of,
)
from gad_bench.base.stored_config import read_stored
from gad_bench.config import build, build_dataset, override
from gad_bench.launch.endings import Endings
from gad_bench.tracking import SweepSummary, Tracker, aside, refuse_password

log = logging.getLogger(__name__)

EXTRAS = {
    "hydra_joblib_launcher": "joblib",
    "hydra_optuna_sweeper": "optuna",
    "hydra_ray_launcher": "ray",
    "hydra_submitit_launcher": "slurm",
}
"""Plugins by package, and the extra of gad-bench that installs each."""
BASIC = (".ProductSweeper", ".BasicSweeper")  # ours and Hydra's, which run every combination
WITHOUT_LABELS = "_synthetic"  # ends the name of a metric of painted defects
CATEGORY, EVERY = "category", "*"  # in an experiment's hydra.sweeper.params: all of the data set


@dataclass(frozen=True)
class Survey:
    """What became of a sweep's jobs.

    Attributes:
        states: each job's folder and what became of the job, in the jobs' order.
        never_started: how many jobs left no trace.
    """

    states: Sequence[tuple[Path, State]]
    never_started: int

    @property
    def asked(self) -> int:
        """How many jobs there should be."""
        return len(self.states) + self.never_started

    @property
    def counts(self) -> Counter[str]:
        """How many jobs are in which state."""
        return Counter(state for _, state in self.states)

    def folders(self, wanted: State) -> list[Path]:
        """Return the folders of the jobs in a state."""
        return [folder for folder, state in self.states if state == wanted]


@dataclass(frozen=True)
class Sweep:
    """A sweep that this process started.

    Attributes:
        name: by which its jobs find it, in whatever process.
        folder: where they write.
        tracker: where it is recorded.
        choosing: in words, how an optimiser chooses the jobs.
        watch: of the stages of the sweep, and of the jobs in this process.
        endings: of those.
    """

    name: str
    folder: Path
    tracker: Tracker
    choosing: str = ""
    watch: Stopwatch = field(default_factory=Stopwatch)
    endings: Endings = field(default_factory=Endings)

    def states(self) -> list[tuple[Path, State]]:
        """Return each job's folder and what became of the job, in the jobs' order."""
        return [(folder, state_of(folder)) for folder in job_folders(self.folder)]

    def finish_own(self) -> None:
        """Draw and record what is left of the jobs that ran in this process."""
        self.endings.close()
        if self.watch.seconds:
            self.watch.lap("figures")

    def survey(self) -> Survey:
        """Look once at what became of all the jobs that were asked for."""
        from gad_bench.report.asked import asked_jobs

        states = self.states()
        asked_for = self.folder / "multirun.yaml"
        asked = len(asked_jobs(asked_for)) if asked_for.exists() else 0
        return Survey(states, max(asked - len(states), 0))

    def close(self, survey: Survey) -> None:
        """Record the sweep's outcome where its runs are recorded.

        Raises:
            TrackingError: it cannot be recorded.
        """
        jobs = pd.DataFrame([_job(folder, state) for folder, state in survey.states])
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

        source = f"{self.name}; {self.choosing}" if self.choosing else self.name
        try:
            report = make_report(read_folder(self.folder), Request(where={}), source)
        except UserError as error:
            log.warning("no report: %s", error)
            return []
        write_report(report, self.folder / SUMMARY)
        return [to_markdown(table) for table in report.tables]


_started: Sweep | None = None


class SweepCallback(Callback):
    """Hydra's hooks before a run or a sweep writes anything."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        """Refuse what must not be written with the config."""
        with _told():
            refuse_passwords(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        """Open the run that the jobs' runs nest under."""
        global _started  # noqa: PLW0603 - Hydra makes and keeps the callback itself
        name = str(config.hydra.sweep.dir)
        with _told():
            refuse_passwords(config)
            title = " ".join(_task(config)) or "sweep"
            require_launcher(config.hydra.launcher._target_)
            require_plugin("hydra/sweeper", config.hydra.sweeper._target_)
            list_choices(config)
            _require_own_folders(config)
            tracker = aside(build(config.tracking))
            tracker.open_sweep(name, title)
        _started = Sweep(name, Path(name).absolute(), tracker, choosing(config))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        """Let go of the job's configs, which Hydra would keep of each job until the sweep ends."""
        job_return.cfg = job_return.hydra_cfg = None


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """End the process with a line where something is refused: Hydra swallows what a hook raises."""
    try:
        yield
    except (UserError, OmegaConfBaseException) as error:
        reason = str(error).partition("\n")[0]
        print(f"error: {reason}", file=sys.stderr)
        raise SystemExit(IMPOSSIBLE) from None


def refuse_passwords(config: DictConfig) -> None:
    """Refuse passwords in the tracking store's address, and in those that a sweep goes through.

    Raises:
        UserError: there is one.
    """
    task: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    for line in task:
        if str(line).lstrip("+~").startswith("tracking"):
            refuse_password(str(line))
    for address in (
        config.tracking.get("uri"),
        config.hydra.sweeper.get("storage"),
        *(config.hydra.sweeper.get("params") or {}).values(),
    ):
        refuse_password(str(address))


def require_plugin(group: str, target: str) -> None:
    """Refuse a choice whose plugin is not installed.

    Args:
        group: of Hydra's.
        target: the choice's class, by its full name.

    Raises:
        UserError: names the extra to install.
    """
    module = target.rpartition(".")[0]
    extra = next((EXTRAS[part] for part in module.split(".") if part in EXTRAS), None)
    if extra is None:
        return
    try:
        import_module(module)
    except ImportError as error:
        raise UserError(
            f"this {group} is not installed ({error}): pip install 'gad-bench[{extra}]'"
        ) from error


def require_launcher(target: str) -> None:
    """Refuse a launcher whose plugin is not installed, or whose cluster is not here.

    Args:
        target: the launcher's class, by its full name.

    Raises:
        UserError: names the extra to install, or what the machine lacks.
    """
    require_plugin("hydra/launcher", target)
    if target.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise UserError(
            "hydra/launcher=submitit_slurm: this machine has no srun: start the sweep on a node of "
            "the Slurm cluster, or try it by hydra/launcher=submitit_local"
        )


def list_choices(config: DictConfig) -> None:
    """Let `multirun.yaml` name what is swept, the categories too, whatever becomes of the data set.

    The categories' names come from the disk: they go among the overrides, which Hydra hands on as
    they are, for what stands in `hydra.sweeper.params` it resolves.

    Raises:
        UserError: the data set isn't where it should be.
    """
    sweeper, overrides = config.hydra.sweeper, config.hydra.overrides
    if not sweeper.get("params"):
        return
    choices: Any = OmegaConf.to_container(sweeper.params, resolve=True)
    task: Any = OmegaConf.to_container(overrides.task, resolve=False)
    if choices.get(CATEGORY) == EVERY:
        del choices[CATEGORY]
        if not any(line.startswith(f"{CATEGORY}=") for line in task):
            task.insert(0, override(CATEGORY, *build_dataset(config).category_names()))
    with flag_override(config.hydra, "readonly", False):
        sweeper.params, overrides.task = choices, task


def choosing(config: DictConfig) -> str:
    """Return in words how an optimiser chooses the jobs, and whether by labels; "" without one."""
    if config.hydra.sweeper._target_.endswith(BASIC):
        return ""
    told = f"an optimiser chose the jobs by objective={config.objective}"
    if config.objective.endswith(WITHOUT_LABELS):
        return f"{told}, which goes by no label of the test set"
    return f"{told}, by the test set's labels: the best figure is too high by the choosing alone"


def _require_own_folders(config: DictConfig) -> None:
    """Refuse one folder for the detectors of many jobs.

    Raises:
        UserError: says how to name a folder a job.
    """
    params = dict(config.hydra.sweeper.get("params") or {})
    lines = [f"{key}={value}" for key, value in params.items()]
    parsed = OverridesParser.create().parse_overrides([*lines, *_task(config)])
    swept = [override.key_or_group for override in parsed if override.is_sweep_override()]
    save = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=False))["save"]
    if save is None or not swept or "save" in swept or "${" in save:
        return
    are_groups = any(isinstance(OmegaConf.select(config, key), DictConfig) for key in swept)
    each = "_".join(f"${{{key}}}" for key in (["hydra:job.num"] if are_groups else swept))
    raise UserError(
        f"save={save} names one folder for the detectors of many jobs: "
        f"name one for each, as in 'save={save}/{each}'"
    )


def _task(config: DictConfig) -> list[str]:
    """Return the command line's overrides, with what they refer to as it was written."""
    return cast("list[str]", OmegaConf.to_container(config.hydra.overrides.task, resolve=False))


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


def _job(folder: Path, state: State) -> dict[str, Any]:
    """Return a job's row of the summary."""
    overrides = read_stored(folder / ".hydra" / "overrides.yaml") or []
    row = {"job": folder.name, "outcome": state, "overrides": " ".join(map(str, overrides))}
    if state == "failed":
        return row | {"error": read_failure(folder)["error"]}
    if state == "unfinished":
        return row
    metrics = read_metrics(folder)
    return row | ({"auroc": metrics["auroc"]} if "auroc" in metrics else {})


def _markdown(jobs: pd.DataFrame) -> str:
    from gad_bench.report.text import markdown_row

    rows = [jobs.columns, ["---"] * len(jobs.columns), *jobs.astype(object).fillna("").to_numpy()]
    return "\n".join(markdown_row([str(value) for value in row]) for row in rows)

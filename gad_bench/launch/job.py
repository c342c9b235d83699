"""One job of Hydra's, alone or in a sweep: how it starts, how it fails, what it tells."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gad_bench import config as configuration
from gad_bench.base.choices import near
from gad_bench.base.command import (
    DONE,
    FAILED,
    FULL_ERROR,
    IMPOSSIBLE,
    SHOW_TRACEBACK,
    is_users,
    one_line,
    tell,
    tell_of_interrupt,
    wants_traceback,
)
from gad_bench.base.errors import TrackingError, UserError
from gad_bench.base.files import write_text
from gad_bench.base.interrupt import end_if_interrupted
from gad_bench.base.mistakes import explained
from gad_bench.base.process import (
    SINCE_START,
    Stopwatch,
    config_folder,
    keep_freed_memory,
    quick_imports,
)
from gad_bench.base.run_folder import FAILURE, SUMMARY, forget_state, read_failure
from gad_bench.launch.sweep import Sweep, current_sweep, forget_sweep, sweep_name
from gad_bench.steps.ending import end_here

log = logging.getLogger(__name__)

DEFAULT_OBJECTIVE = "auroc"
OWN_FOLDER = "the run's own folder, which hydra.run.dir=PATH or hydra.sweep.dir=PATH names"


def launch() -> int:
    """Run what the command line asks for and return the exit status."""
    forget_sweep()
    logging.raiseExceptions = False  # of a log that cannot be written, as when nobody reads it
    configuration.register()
    os.environ.setdefault(SHOW_TRACEBACK, os.environ.get(FULL_ERROR, "0"))
    os.environ[FULL_ERROR] = "1"  # Hydra then raises, and what is printed is decided here
    application = hydra.main(
        version_base="1.3", config_path=str(config_folder()), config_name="config"
    )(job)
    status = _status(application)
    sweep = current_sweep()
    return _end_sweep(sweep, status) if sweep else status


def job(config: DictConfig) -> float:
    """Run one job, and return what an optimiser maximises."""
    settings = HydraConfig.get()
    end_if_interrupted()
    keep_freed_memory()
    watch, sweep = SINCE_START if settings.mode == RunMode.RUN else Stopwatch(), current_sweep()
    (sweep.watch if sweep else watch).lap("config")
    with quick_imports():
        from gad_bench.run import run
    watch.lap("imports")
    configuration.register()  # in a launcher's worker process nobody has
    output = Path(settings.runtime.output_dir)
    forget_state(output)
    failed = partial(_fail, settings, output)
    try:
        _settle_category(config, settings.overrides.task, output)
        end = sweep.endings.of(failed) if sweep else end_here
        metrics = run(config, output, sweep_name(), watch, end)
        value = objective(metrics, config.objective)
    except Exception as error:
        end_if_interrupted()  # a library made an error of it
        failed(error)
        if settings.mode == RunMode.RUN:
            raise SystemExit(tell(error)) from None
        raise
    finally:
        if sweep:
            sweep.watch.add(watch)
    end_if_interrupted()
    return value


def objective(metrics: Mapping[str, Any], name: str) -> float:
    """Return the metric that an optimiser maximises; NaN where the images give no AUROC.

    Raises:
        UserError: the run has no such metric.
    """
    if name not in metrics and name != DEFAULT_OBJECTIVE:
        close = ", ".join(near(name, list(metrics)) or metrics)
        raise UserError(f"objective={name} is no metric of this run: choose from {close}")
    return float(metrics.get(name, "nan"))


def _settle_category(config: DictConfig, overrides: Sequence[str], output: Path) -> None:
    """Take a data set's only category where none is named: the default is one of MVTec AD's.

    Raises:
        UserError: the data set has several.
    """
    if any(line.startswith("category=") for line in overrides):
        return
    dataset = configuration.build_dataset(config, config.category)
    names = dataset.category_names()
    if config.category in names:
        return
    if len(names) > 1:
        choices = ", ".join(names)
        raise UserError(f"category= is missing: data set {dataset.name} has {choices}")
    config.category = names[0]
    OmegaConf.save(config, output / ".hydra" / "config.yaml")  # what reports read


def _status(application: Callable[[], object]) -> int:
    try:
        application()
    except KeyboardInterrupt:
        return tell_of_interrupt()
    except SystemExit as end:
        return int(end.code or 0)
    except Exception as error:
        if isinstance(error, OSError) and error.errno and not error.filename:  # Hydra's own files
            error = OSError(error.errno, error.strerror, OWN_FOLDER)
        return tell(explained(error, sys.argv[1:])) if _is_news(error) else FAILED
    return DONE


def _is_news(error: Exception) -> bool:
    """Tell whether an error is another than a sweep's first failed job's, told of by its file."""
    sweep = current_sweep()
    failed = [folder for folder, state in sweep.states() if state == "failed"] if sweep else []
    return one_line(error) not in [read_failure(folder)["error"] for folder in failed]


def _fail(settings: HydraConf, output: Path, error: Exception) -> None:
    """Write down that a job failed, and tell of it where others go on."""
    _write_failure(output, error, list(settings.overrides.task))
    if settings.mode == RunMode.MULTIRUN:
        log.error("job %s failed: %s", settings.job.num, one_line(error))


def _write_failure(output: Path, error: Exception, overrides: list[str]) -> None:
    failure = {
        "overrides": overrides,
        "error": one_line(error),
        "status": IMPOSSIBLE if is_users(error) else FAILED,
        "traceback": "".join(traceback.format_exception(error)),
    }
    try:
        write_text(output / FAILURE, json.dumps(failure, indent=1))
    except OSError as unwritable:
        log.warning("%s could not be written: %s", output / FAILURE, unwritable)


def _end_sweep(sweep: Sweep, status: int) -> int:
    """Tell what became of a sweep's jobs, record it, and return the status of the whole."""
    sweep.finish_own()
    survey = sweep.survey()
    lost = survey.never_started
    kinds = [*survey.counts.items(), *([("never started", lost)] if lost else [])]
    told = ", ".join(f"{count} {state}" for state, count in kinds)
    print(f"{survey.asked} jobs in {sweep.folder}: {told or 'none'}")
    if sweep.choosing:
        print(sweep.choosing)
    failures = [read_failure(folder) | {"folder": folder} for folder in survey.folders("failed")]
    _print_failures(failures)
    cut_off = survey.folders("unfinished")
    for folder in cut_off:
        print(f"unfinished: {folder}: its process ended before it did", file=sys.stderr)
    if cut_off or lost:
        print("the same command with resume=true does what is left", file=sys.stderr)
    try:
        sweep.close(survey)
    except TrackingError as error:
        return tell(error)
    page = sweep.folder / SUMMARY / "report.html"
    if page.exists():
        print(f"report: {page}")
    if sweep.tracker.viewer:
        print(f"compare runs: {sweep.tracker.viewer}")
    if sweep.watch.seconds:
        sweep.watch.lap("report")
        print(f"time: {sweep.watch}")
    if cut_off or lost:
        return status or FAILED
    if status in (DONE, FAILED) and failures and all(f["status"] == IMPOSSIBLE for f in failures):
        return IMPOSSIBLE
    return status or (FAILED if failures else DONE)


def _print_failures(failures: Sequence[dict[str, Any]]) -> None:
    """Tell each error once, with the jobs that it ended."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for failure in failures:
        alike.setdefault(failure["error"], []).append(failure)
    for error, same in alike.items():
        print(f"failed: {error}", file=sys.stderr)
        for failure in same:
            overrides = " ".join(failure["overrides"])
            print(f"  job {failure['folder'].name}: {overrides}", file=sys.stderr)
        if wants_traceback():
            print(same[0]["traceback"], file=sys.stderr)

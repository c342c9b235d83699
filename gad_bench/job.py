"""One job of Hydra's, alone or in a sweep: how it starts, how it fails, what it tells."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gad_bench import config as configuration
from gad_bench.errors import UserError
from gad_bench.files import write_text
from gad_bench.paths import config_folder
from gad_bench.sweep import FAILURE_FILE, failed_jobs, sweep_folder

log = logging.getLogger(__name__)

DONE, FAILED, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 130
FULL_ERROR = "HYDRA_FULL_ERROR"
SHOW_TRACEBACK = (
    "GAD_BENCH_SHOW_TRACEBACK"  # the user's HYDRA_FULL_ERROR, kept for worker processes
)


def launch() -> int:
    """Run what the command line asks for and return the exit status."""
    configuration.register()
    os.environ.setdefault(SHOW_TRACEBACK, os.environ.get(FULL_ERROR, "0"))
    os.environ[FULL_ERROR] = "1"  # Hydra then raises, and what is printed is decided here
    application = hydra.main(
        version_base="1.3", config_path=str(config_folder()), config_name="config"
    )(job)
    try:
        application()
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from what is stored", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if sweep_folder() is not None and failed_jobs():
            return _report_sweep()
        return _report(error)
    return DONE


def job(config: DictConfig) -> float:
    """Run one job; its AUROC is what an optimiser would maximise."""
    from gad_bench.run import run

    settings = HydraConfig.get()
    output = Path(settings.runtime.output_dir)
    try:
        return run(config, output, alone=settings.mode == RunMode.RUN)
    except Exception as error:
        _write_failure(output, error, list(settings.overrides.task))
        if settings.mode == RunMode.RUN:
            raise SystemExit(_report(error)) from None
        log.error("job %s failed: %s", settings.job.num, one_line(error))
        raise


def is_users(error: BaseException) -> bool:
    """Tell whether an error is the user's to mend."""
    return isinstance(error, UserError | HydraException | OmegaConfBaseException)


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    text = " ".join(str(error).split())
    return text if is_users(error) else f"{type(error).__name__}: {text}"


def _write_failure(output: Path, error: Exception, overrides: list[str]) -> None:
    failure = {
        "overrides": overrides,
        "error": one_line(error),
        "status": IMPOSSIBLE if is_users(error) else FAILED,
        "traceback": "".join(traceback.format_exception(error)),
    }
    try:
        write_text(output / FAILURE_FILE, json.dumps(failure, indent=1))
    except OSError as unwritable:
        log.warning("%s could not be written: %s", output / FAILURE_FILE, unwritable)


def _report(error: Exception) -> int:
    if _wants_traceback() or not is_users(error):
        traceback.print_exception(error)
    if is_users(error):
        print(f"error: {one_line(error)}", file=sys.stderr)
    return IMPOSSIBLE if is_users(error) else FAILED


def _report_sweep() -> int:
    failures = failed_jobs()
    print(f"{len(failures)} of the sweep's jobs failed:", file=sys.stderr)
    for folder, failure in failures:
        print(f"  {folder}: {' '.join(failure['overrides'])}: {failure['error']}", file=sys.stderr)
        if _wants_traceback():
            print(failure["traceback"], file=sys.stderr)
    return IMPOSSIBLE if all(f["status"] == IMPOSSIBLE for _, f in failures) else FAILED


def _wants_traceback() -> bool:
    return os.environ.get(SHOW_TRACEBACK) == "1"

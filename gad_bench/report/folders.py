"""Runs read from Hydra's output folders, with those that a sweep asked for and never finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gad_bench.base.errors import UserError
from gad_bench.base.references import unescaped
from gad_bench.base.run_folder import FAILURE, METRICS, read_failure
from gad_bench.base.stored_config import read_stored
from gad_bench.report.asked import asked_jobs, composed_keys
from gad_bench.report.keys import run_keys
from gad_bench.report.runs import Run, Status

SWEEP_FILE = "multirun.yaml"
Overrides = frozenset[str]


def latest_sweep(folder: Path) -> Path:
    """Return the folder of the newest sweep below a folder.

    Raises:
        UserError: there is none.
    """
    sweeps = list(folder.rglob(SWEEP_FILE)) if folder.is_dir() else []
    if not sweeps:
        raise UserError(
            f"there is no sweep in {folder.absolute()}: name one by --from FOLDER, or a store by "
            "--tracking-uri and --experiment"
        )
    return max(sweeps, key=lambda path: path.stat().st_mtime).parent


def read_folder(folder: Path) -> list[Run]:
    """Return every run below a folder, and for each sweep there the jobs that it never ran.

    Raises:
        UserError: the folder holds no run and no sweep.
    """
    outputs = sorted((path.parent for path in folder.rglob(".hydra")), key=_order)
    sweeps = sorted(path.parent for path in folder.rglob(SWEEP_FILE))
    if not outputs and not sweeps:
        raise UserError(f"{folder.absolute()} holds no run of gad_bench")
    runs = [_read_run(output) for output in outputs]
    started = {output: _overrides(output) for output in outputs}
    for sweep in sweeps:
        done = {overrides for output, overrides in started.items() if sweep in output.parents}
        runs += _never_started(sweep, done)
    return runs


def _order(output: Path) -> tuple[str, int, str]:
    """Order a sweep's jobs by number."""
    return str(output.parent), int(output.name) if output.name.isdecimal() else -1, output.name


def _overrides(output: Path) -> Overrides:
    return frozenset(read_stored(output / ".hydra" / "overrides.yaml") or [])


def _read_run(output: Path) -> Run:
    config = read_stored(output / ".hydra" / "config.yaml")
    if "category" not in config:
        raise UserError(f"{output} is no run of gad_bench: name another folder by --from")
    choices = read_stored(output / ".hydra" / "hydra.yaml")["hydra"]["runtime"]["choices"]
    keys = run_keys(config, choices)
    keys["category"] = unescaped(keys["category"])
    metrics, failure = output / METRICS, output / FAILURE
    if failure.is_file():
        reason = str(read_failure(output)["error"])
        return _run(keys, Status.FAILED, failure, reason=reason)
    if not metrics.is_file():
        return Run(keys=keys, status=Status.MISSING, place=str(output), reason="not finished")
    try:
        values = json.loads(metrics.read_text(encoding="utf-8"))
    except ValueError as error:
        return _run(keys, Status.FAILED, metrics, reason=f"{metrics.name} is damaged: {error}")
    return _run(keys, Status.FINISHED, metrics, values)


def _run(
    keys: Mapping[str, str],
    status: Status,
    file: Path,
    metrics: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Run:
    return Run(
        keys=keys,
        status=status,
        metrics={name: float(value) for name, value in (metrics or {}).items()},
        ended=file.stat().st_mtime,
        place=str(file.parent),
        reason=reason,
    )


def _never_started(sweep: Path, started: set[Overrides]) -> Iterator[Run]:
    asked = asked_jobs(sweep / SWEEP_FILE)
    absent = [job for job in asked if frozenset(job) not in started]
    for keys in composed_keys(sweep / SWEEP_FILE, absent):
        yield Run(keys=keys, status=Status.MISSING, place=str(sweep), reason="never started")

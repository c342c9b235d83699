"""Runs read from Hydra's output folders, with those that a sweep asked for and never finished."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gad_bench.base.errors import UserError
from gad_bench.base.references import unescaped
from gad_bench.base.run_folder import COST_DEVICE, DEVICE, FAILURE, METRICS, state_of
from gad_bench.base.stored_config import read_stored
from gad_bench.report.asked import asked_jobs, composed_keys
from gad_bench.report.frame import Run, Status, run_keys

SWEEP_FILE = "multirun.yaml"
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)

Overrides = frozenset[str]


def latest_sweep(folder: Path) -> Path:
    """Return the folder of the newest sweep below a folder.

    Raises:
        UserError: there is none.
    """
    sweeps = _sweeps(folder)
    if not sweeps:
        raise UserError(
            f"there is no sweep in {folder.absolute()}: name one by --from FOLDER, or a store by "
            "--tracking-uri and --experiment"
        )
    return max(sweeps, key=lambda sweep: (sweep / SWEEP_FILE).stat().st_mtime)


def read_folder(folder: Path) -> list[Run]:
    """Return every run below a folder, and for each sweep there the jobs that it never ran.

    Raises:
        UserError: the folder holds no run and no sweep, or a file of Hydra's in it is damaged.
    """
    outputs = sorted((path.parent for path in folder.rglob(".hydra") if path.is_dir()), key=_order)
    sweeps = sorted(_sweeps(folder))
    if not outputs and not sweeps:
        raise UserError(f"{folder.absolute()} holds no run of gad_bench")
    runs = [_read_run(output) for output in outputs]
    started = {output: _overrides(output) for output in outputs}
    for sweep in sweeps:
        done = {overrides for output, overrides in started.items() if sweep in output.parents}
        runs += _never_started(sweep, done)
    return runs


def _sweeps(folder: Path) -> list[Path]:
    return [path.parent for path in folder.rglob(SWEEP_FILE) if path.exists()]


def _order(output: Path) -> tuple[str, int, str]:
    """Order a sweep's jobs by number."""
    return str(output.parent), int(output.name) if output.name.isdecimal() else -1, output.name


def _overrides(output: Path) -> Overrides:
    path = output / ".hydra" / "overrides.yaml"
    with _damage_in_one_line(path):
        return frozenset(map(str, read_stored(path) or []))


def _read_run(output: Path) -> Run:
    with _damage_in_one_line(output / ".hydra"):
        config = read_stored(output / ".hydra" / "config.yaml")
        choices = read_stored(output / ".hydra" / "hydra.yaml")
        if "category" not in config:
            raise UserError(f"{output} is no run of gad_bench: name another folder by --from")
        keys = run_keys(config, choices["hydra"]["runtime"]["choices"])
        keys["category"] = unescaped(keys["category"])
        if (output / DEVICE).is_file():
            keys[COST_DEVICE] = _text(output / DEVICE).strip()
    run = partial(Run, keys=keys, place=str(output))
    state = state_of(output)
    if state == "unfinished":
        return run(status=Status.MISSING, reason="not finished")
    ended = (output / (FAILURE if state == "failed" else METRICS)).stat().st_mtime
    if state == "failed":
        return run(status=Status.FAILED, reason=_failure(output / FAILURE), ended=ended)
    try:
        return run(status=Status.FINISHED, metrics=_metrics(output / METRICS), ended=ended)
    except DAMAGE as error:
        return run(status=Status.FAILED, reason=f"{METRICS} is damaged: {error}", ended=ended)


def _failure(path: Path) -> str:
    try:
        return str(json.loads(_text(path))["error"])
    except DAMAGE:
        return f"{path.name} is damaged"


def _metrics(path: Path) -> dict[str, float]:
    values = json.loads(_text(path))
    numbers = {name: float(value) for name, value in values.items()}
    infinite = [name for name, value in numbers.items() if math.isinf(value)]
    if infinite:
        raise ValueError(f"{infinite[0]} is infinite")
    return numbers


def _never_started(sweep: Path, started: set[Overrides]) -> Iterator[Run]:
    path = sweep / SWEEP_FILE
    with _damage_in_one_line(path):
        read_stored(path)["hydra"]["sweeper"][
            "_target_"
        ]  # `asked_jobs` passes over what is damaged
        absent = [job for job in asked_jobs(path) if frozenset(job) not in started]
        for keys in composed_keys(path, absent):
            yield Run(keys=keys, status=Status.MISSING, place=str(sweep), reason="never started")


@contextmanager
def _damage_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Hydra, OmegaConf and YAML have many kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {reason}): move its folder away, or name "
            "another by --from"
        ) from error


def _text(path: Path) -> str:
    if not path.is_file():  # a pipe or a device would be read for ever
        raise FileNotFoundError(f"{path} is no regular file")
    return path.read_text(encoding="utf-8")

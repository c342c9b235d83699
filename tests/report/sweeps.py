"""Folders as a sweep leaves them, with metrics of our own making."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gad_bench.config import register
from gad_bench.paths import config_folder

Metrics = Callable[[Mapping[str, str]], Mapping[str, float]]


def write_sweep(folder: Path, params: Mapping[str, str], task: Sequence[str]) -> None:
    """Write the multirun.yaml of a sweep over params with overrides."""
    register()
    fixed = [line for line in task if "," not in line]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", fixed, return_hydra_config=True)
    OmegaConf.set_struct(config, False)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.sweeper.params = {**(config.hydra.sweeper.params or {}), **params}
    config.hydra.overrides.task = list(task)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")


def write_run(
    folder: Path,
    overrides: Sequence[str],
    *,
    metrics: Mapping[str, float] | None = None,
    failure: str | None = None,
    ended: float | None = None,
) -> None:
    """Write one run's output folder: finished, failed, or neither."""
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", list(overrides), return_hydra_config=True)
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    (hydra / "hydra.yaml").write_text(json.dumps({"hydra": {"runtime": {"choices": choices}}}))
    (hydra / "overrides.yaml").write_text(json.dumps(list(overrides)))
    OmegaConf.set_struct(config, False)
    config.pop("hydra")
    OmegaConf.save(config, hydra / "config.yaml")
    if metrics is not None:
        _write(folder / "metrics.json", metrics, ended)
    if failure is not None:
        _write(folder / "failure.json", {"error": failure, "overrides": list(overrides)}, ended)


def _write(path: Path, content: object, ended: float | None) -> None:
    path.write_text(json.dumps(content))
    if ended is not None:
        os.utime(path, (ended, ended))

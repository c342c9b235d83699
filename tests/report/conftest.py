from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from gad_bench.base.process import config_folder
from gad_bench.config import register
from gad_bench.launch.sweep import list_choices
from gad_bench.report.frame import Run, Status

SWEPT = re.compile(r",|=\w+\(")  # an override that lists values, or calls for some


@cache
def composed(*overrides: str) -> DictConfig:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", [*overrides], return_hydra_config=True)
    OmegaConf.set_struct(config, False)
    OmegaConf.set_readonly(config.hydra, False)
    return config


class SweepFolder:
    """A sweep's folder as Hydra and the program leave it, with numbers of the test's own."""

    def __init__(self, path: Path, *overrides: str) -> None:
        self.path = path
        plain = [line for line in overrides if not SWEPT.search(line)]
        config = composed(*plain).copy()
        config.hydra.overrides.task = list(overrides)
        list_choices(config)
        path.mkdir(parents=True)
        OmegaConf.save(config, path / "multirun.yaml")

    def add(
        self,
        number: int,
        *overrides: str,
        metrics: Mapping[str, float] | None = None,
        failure: str | None = None,
        ended: float = 1000.0,
    ) -> Path:
        """Write one run's folder: finished, failed, or neither."""
        folder = self.path / str(number)
        config = composed(*overrides)
        values = OmegaConf.to_container(config)
        choices = values.pop("hydra")["runtime"]["choices"]
        hydra = folder / ".hydra"
        hydra.mkdir(parents=True)
        write(hydra / "config.yaml", values)
        write(hydra / "hydra.yaml", {"hydra": {"runtime": {"choices": choices}}})
        write(hydra / "overrides.yaml", list(overrides))
        if metrics is not None:
            write(folder / "metrics.json", metrics, ended)
        if failure is not None:
            write(folder / "failure.json", {"error": failure, "overrides": overrides}, ended)
        return folder


def write(path: Path, content: Any, ended: float | None = None) -> None:
    path.write_text(json.dumps(content))
    if ended is not None:
        os.utime(path, (ended, ended))


@pytest.fixture
def sweep_folder() -> type[SweepFolder]:
    return SweepFolder


def make_run(
    category: str,
    fold: int = 0,
    auroc: float | None = None,
    *,
    status: Status | None = None,
    ended: float = 0.0,
    metrics: Mapping[str, float] | None = None,
    **keys: str,
) -> Run:
    """A run in memory: finished where it has numbers, else missing or as told."""
    numbers = dict(metrics or {}) | ({} if auroc is None else {"auroc": auroc})
    default = Status.FINISHED if numbers else Status.MISSING
    own = {key.replace("__", "."): value for key, value in keys.items()}
    return Run(
        keys={"dataset": "demo", "category": category, "fold": str(fold), **own},
        status=status or default,
        metrics=numbers,
        ended=ended,
        reason="" if numbers else "why",
    )


@pytest.fixture
def run_of() -> Any:
    return make_run


def three_categories(make: Any, values: Sequence[Sequence[float | None]], **keys: str) -> list[Run]:
    names = ("bolt", "nut", "washer")
    return [
        make(name, fold, auroc, **keys)
        for name, folds in zip(names, values, strict=True)
        for fold, auroc in enumerate(folds)
    ]


@pytest.fixture
def runs_of() -> Any:
    """Runs of three categories, each given by the AUROC of its folds."""

    def make(values: Sequence[Sequence[float | None]], **keys: str) -> list[Run]:
        return three_categories(make_run, values, **keys)

    return make


@pytest.fixture
def compose_config() -> Any:
    return composed

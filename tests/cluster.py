"""Sweeps as processes of their own, for the tests of launchers and of a tracking server."""

from __future__ import annotations

import os
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from program import Outcome
from recorded import recorded_sweep

from gad_bench.tracking.mlflow_page import plain_metric_name

REPOSITORY = Path(__file__).parent.parent
TAKES_TIME = ("seconds_extract", "images_per_second_extract", "seconds_fit", "cache_hit")
SMALL = ["dataset.train=20", "dataset.test_good=6", "dataset.test_defective=3", "figures=false"]
SWEEP = ["-m", "experiment=demo", *SMALL]
if os.environ.get("GAD_BENCH_TEST_LONG"):  # 60 jobs
    JOBS = [
        "category=wood,fabric,hex_nut",
        "fold.index=0,1,2,3,4",
        "covariance=ledoit_wolf,oas,diagonal,identity",
    ]
else:
    JOBS = ["category=wood,fabric", "covariance=ledoit_wolf,diagonal"]

DEADLY = '''
"""A combination that kills its process the first time it is used."""
import os, signal
from dataclasses import dataclass
from pathlib import Path
from gad_bench.gaussian.combination import Mean

@dataclass(frozen=True, kw_only=True)
class Deadly(Mean):
    marker: str

    def combine(self, evidence):
        marker = Path(self.marker)
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().combine(evidence)
'''


def environment(cache: Path, **more: str) -> dict[str, str]:
    """The test's own environment, with this checkout's code and a cache."""
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    own = {"PYTHONPATH": path, "GAD_BENCH_CACHE": str(cache), "RAY_AUTH_MODE": "disabled"}
    return kept | own | more


def run_program(folder: Path, env: dict[str, str], *arguments: str) -> Outcome:
    """`python -m gad_bench ARGUMENTS` in a folder, as a process of its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "gad_bench", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr, folder)


def results(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """What each finished job computed, without what depends on time, by its overrides."""
    return {_overrides(run): without_time(read_metrics(run)) for run in outcome.runs}


def scores(outcome: Outcome) -> dict[str, pd.DataFrame]:
    """The scores of each finished job, by its overrides; images by their names alone."""
    tables = {_overrides(run): pd.read_csv(run / "scores.csv") for run in outcome.runs}
    return {
        job: table.assign(path=[Path(path).name for path in table["path"]])
        for job, table in tables.items()
    }


def read_metrics(run: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((run / "metrics.json").read_text()))


def assert_nothing_lost(outcome: Outcome, uri: str) -> None:
    """Every metric of every finished job is in the store, to the last bit."""
    assert finished_metrics(uri) == written_metrics(outcome)


def finished_metrics(uri: str) -> list[list[tuple[str, float]]]:
    """The metrics that the store holds of finished runs."""
    _, nested = recorded_sweep(uri)
    finished = [run for run in nested if run.info.status == "FINISHED"]
    return sorted(
        sorted((plain_metric_name(name), value) for name, value in run.data.metrics.items())
        for run in finished
    )


def written_metrics(outcome: Outcome) -> list[list[tuple[str, float]]]:
    """The metrics that are in the runs' folders."""
    written = [{k: float(v) for k, v in read_metrics(run).items()} for run in outcome.runs]
    return sorted(sorted(metrics.items()) for metrics in written)


def assert_same_as_serial(parallel: Outcome, folder: Path) -> None:
    """All of JOBS ended well, and computed to the last bit what one process does from nothing."""
    assert parallel.status == 0, parallel.errors
    serial = run_program(folder, environment(folder / "cache"), *SWEEP, *JOBS)
    assert len(serial.runs) == prod(job.count(",") + 1 for job in JOBS)
    assert results(parallel) == results(serial)
    parallel_scores = scores(parallel)
    for job, table in scores(serial).items():
        pd.testing.assert_frame_equal(parallel_scores[job], table, check_exact=True)


def deadly_choice(folder: Path) -> tuple[str, dict[str, str]]:
    """A folder of choices with `combination=deadly`, and the environment that finds its class."""
    (folder / "combination").mkdir(parents=True)
    (folder / "deadly.py").write_text(DEADLY)
    choice = {"_target_": "deadly.Deadly", "marker": str(folder / "killed")}
    (folder / "combination" / "deadly.yaml").write_text(yaml.safe_dump(choice))
    return f"--config-dir={folder}", {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(folder)])}


def _overrides(run: Path) -> str:
    return " ".join(yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text()))


def without_time(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in TAKES_TIME}

"""Figures are drawn while the next jobs run, and no job ends without its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import pytest
from program import SMALL_SWEEP, Program
from recorded import recorded_runs, store_in

FIGURES = [
    *("block_curves.png", "blocks.png", "calibration.png"),
    *("contact_sheet.png", "curves.png", "histogram.png"),
]


def runs_in(folder: Path) -> list[Any]:
    """Return the jobs' recorded runs."""
    found = recorded_runs(store_in(folder))
    return [run for run in found if run.data.tags.get("role") != "sweep"]


def artifacts(run: Any) -> Path:
    return Path(urlsplit(run.info.artifact_uri).path)


def pictures(folder: Path) -> list[str]:
    """Return the names of the figures in a folder, all of which can be read."""
    paths = sorted(folder.glob("*.png"))
    assert all(cv2.imread(str(path)) is not None for path in paths)
    return [path.name for path in paths]


def test_every_job_has_its_figures_on_disk_and_on_record_whoever_draws_them(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # one core draws, whatever the machine has
    outcome = program(*SMALL_SWEEP, "covariance=identity,ledoit_wolf")
    assert outcome.status == 0, outcome.errors
    assert "time: " in outcome.output
    runs = {run.data.tags["covariance"]: run for run in runs_in(outcome.folder)}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for job, name in enumerate(("identity", "ledoit_wolf")):
        folder, recorded = outcome.folder / "swept" / str(job), artifacts(runs[name])
        assert pictures(folder) == pictures(recorded) == FIGURES
        assert (recorded / "curves.png").read_bytes() == (folder / "curves.png").read_bytes()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = program(
        *SMALL_SWEEP[:-1], "hydra.sweep.dir=here", "tracking=none", "covariance=identity"
    )
    for name in FIGURES:
        drawn = (here.folder / "here" / "0" / name).read_bytes()
        assert drawn == (outcome.folder / "swept" / "0" / name).read_bytes()


def test_a_figure_that_cannot_be_written_fails_its_job_in_a_line(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    Path("swept/0/curves.png").mkdir(parents=True)
    outcome = program(*SMALL_SWEEP, "covariance=identity,diagonal")
    assert outcome.status == 1
    assert outcome.errors.count("failed: ") == 1
    assert "curves.png" in outcome.errors
    assert "job 0: " in outcome.errors
    assert "Traceback" not in outcome.errors
    assert "1 failed" in outcome.output
    assert "1 finished" in outcome.output
    statuses = {run.data.tags["covariance"]: run.info.status for run in runs_in(outcome.folder)}
    assert statuses == {"identity": "FAILED", "diagonal": "FINISHED"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_job_whose_figures_were_not_drawn_is_done_again(
    number: signal.Signals, shared_cache: Path, program: Program
) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "2", "GAD_BENCH_CACHE": str(shared_cache)}
    # So many jobs that the first one's figures are drawn long before the sweep's end.
    asked = [
        *SMALL_SWEEP,
        "resume=true",
        "covariance=identity,diagonal,ledoit_wolf",
        "fold.index=0,1",
    ]
    started = subprocess.Popen(
        [sys.executable, "-m", "gad_bench", *asked],
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    swept = Path("swept").absolute()
    while not (swept / "0" / "scores.csv").exists():  # its figures take a process that has to start
        assert started.poll() is None
        time.sleep(0.02)
    os.killpg(started.pid, number)
    _, errors = started.communicate(timeout=300)
    if number == signal.SIGINT:
        assert started.returncode == 130
        assert errors.count("interrupted") == 1
        assert "Traceback" not in errors
    else:
        assert not (swept / "0" / "metrics.json").exists()
    again = program(*asked)
    assert again.status == 0, again.errors
    for job in range(6):
        assert pictures(swept / str(job)) == FIGURES
    finished = [run for run in runs_in(swept.parent) if run.info.status == "FINISHED"]
    assert len(finished) == 6
    assert all(pictures(artifacts(run)) == FIGURES for run in finished)

"""A process beside the one that computes records runs as that one would itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import SMALL_SWEEP
from recorded import artifacts_of, recorded_runs, recorded_sweep, store_in

from gad_bench.base.companion import Companion
from gad_bench.base.errors import TrackingError, UserError
from gad_bench.tracking import DatasetInput, Description, MLflow, NoTracking
from gad_bench.tracking.mlflow_aside import MLflowAside, RunAside, aside

IMAGES = DatasetInput(name="demo/bolt", source="/images", digest="0123456789abcdef")
DESCRIPTION = Description(name="run", params={"a": 1}, tags={"covariance": "identity"})
SWEEP = [*SMALL_SWEEP, "figures=false", "covariance=identity,diagonal"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def companion() -> Iterator[Companion]:
    started = Companion([])
    yield started
    if started.is_alive:
        kill(started)


@pytest.fixture
def tracker(companion: Companion, tmp_path: Path) -> MLflowAside:
    return MLflowAside(MLflow(uri=store_in(tmp_path), experiment="test"), companion)


def kill(companion: Companion) -> None:
    os.kill(companion.ask(os.getpid).result(), signal.SIGKILL)


def results(folder: Path) -> Path:
    files = folder / "files"
    files.mkdir()
    (files / "scores.csv").write_text("path,score\n")
    return files


def log_run(tracker: MLflowAside, files: Path) -> RunAside:
    with tracker.run(DESCRIPTION) as run:
        run.log({"auroc": 0.7}, IMAGES, files)
    return run


def recorded_in(folder: Path) -> list[tuple[Any, ...]]:
    """What a sweep's store tells of its jobs, but for names, places and times."""
    parent, runs = recorded_sweep(store_in(folder))
    assert parent.info.status == "FINISHED"
    return sorted(
        (
            run.data.tags["covariance"],
            run.info.status,
            sorted(run.data.params.items()),
            sorted(run.data.metrics),
            run.data.metrics["auroc"],
            sorted(artifacts_of(store_in(folder), run)),
        )
        for run in runs
    )


def test_it_records_what_the_program_would_itself(tmp_path: Path, shared_cache: Path) -> None:
    for threads in ("1", "2"):  # the other process takes a second core
        folder = tmp_path / threads
        folder.mkdir()
        own = {"OMP_NUM_THREADS": threads, "GAD_BENCH_CACHE": str(shared_cache)}
        command = [sys.executable, "-m", "gad_bench", *SWEEP]
        subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, check=True)
    assert recorded_in(tmp_path / "1") == recorded_in(tmp_path / "2")
    assert len(recorded_in(tmp_path / "2")) == 2


def test_a_run_is_open_before_anybody_waits_for_it(tracker: MLflowAside, tmp_path: Path) -> None:
    run = log_run(tracker, results(tmp_path))
    run.wait()
    (recorded,) = recorded_runs(store_in(tmp_path), "test")
    assert recorded.info.status == "FINISHED"
    assert recorded.data.metrics == {"auroc": 0.7}
    assert artifacts_of(store_in(tmp_path), recorded) == {"scores.csv"}


def test_a_run_that_raises_ends_as_failed(tracker: MLflowAside, tmp_path: Path) -> None:
    def fail() -> None:
        with tracker.run(DESCRIPTION):
            raise ZeroDivisionError("so")

    with pytest.raises(ZeroDivisionError):
        fail()
    (recorded,) = recorded_runs(store_in(tmp_path), "test")
    assert (recorded.info.status, recorded.data.tags["error"]) == ("FAILED", "so")


def test_a_store_that_cannot_be_used_is_told_of_before_work_that_would_be_in_vain(
    companion: Companion, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    uri = f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}"
    tracker = MLflowAside(MLflow(uri=uri, experiment="test"), companion)

    def work() -> None:
        with tracker.run(DESCRIPTION) as run:
            run.require_open()
            pytest.fail("worked in vain")

    with pytest.raises(UserError, match="cannot be used"):
        work()
    with pytest.raises(UserError, match="cannot be used"):
        log_run(tracker, results(tmp_path)).wait()


def test_a_run_whose_files_cannot_be_recorded_has_failed(
    tracker: MLflowAside, tmp_path: Path
) -> None:
    (tmp_path / "mlruns").touch()
    run = log_run(tracker, results(tmp_path))
    with pytest.raises(TrackingError, match="is whole, but could not be recorded"):
        run.wait()
    assert [own.info.status for own in recorded_runs(store_in(tmp_path), "test")] == ["FAILED"]


def test_where_that_process_is_killed_this_one_records(
    tracker: MLflowAside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gad_bench.tracking.mlflow_aside._companion", tracker.companion)
    assert isinstance(aside(tracker.tracker), MLflowAside)
    kill(tracker.companion)
    with pytest.raises(TrackingError, match="was killed"):
        log_run(tracker, results(tmp_path)).wait()
    assert aside(tracker.tracker) is tracker.tracker
    tracker.open_sweep("swept", "a sweep")
    assert [run.info.status for run in recorded_runs(store_in(tmp_path), "test")] == ["RUNNING"]


def test_nothing_else_is_recorded_aside() -> None:
    nowhere = NoTracking()
    assert aside(nowhere) is nowhere

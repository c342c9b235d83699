from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from program import Outcome, Program, run_here

from gad_bench.evaluation import Scores
from gad_bench.tracking import mlflow_store


@pytest.fixture(autouse=True)
def no_tracking_store_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow writes the address that it is given into the environment, for all that follow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first MLflow database of no runs is kept."""
    return tmp_path_factory.mktemp("store") / "mlflow.db"


@pytest.fixture
def quick_databases(monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> None:
    """A new store of this process is a copy of the first: its migrations take a second."""
    make = mlflow_store._make_database

    def make_once(uri: str) -> None:
        if not empty_database.exists():
            make(f"sqlite:///{empty_database}")
        shutil.copyfile(empty_database, uri.removeprefix("sqlite:///"))

    monkeypatch.setattr(mlflow_store, "_make_database", make_once)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The real weights and images, where they are to be had."""
    folder = os.environ.get("GAD_BENCH_TEST_ASSETS")
    if not folder:
        pytest.skip("GAD_BENCH_TEST_ASSETS names no folder of real weights and images")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the whole session shares, so that the demo is made and extracted once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def program(
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    quick_databases: None,  # noqa: ARG001
) -> Program:
    """`python -m gad_bench ARGUMENTS` in an empty folder, in this process."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GAD_BENCH_CACHE", str(shared_cache))
    monkeypatch.delenv("MVTECPATH", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delenv("GAD_BENCH_SHOW_TRACEBACK", raising=False)

    def run(*arguments: str) -> Outcome:
        status = run_here(*arguments)
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err, folder)

    return run


@pytest.fixture
def scores() -> Scores:
    """Ten good images, five of each of two defects; block 2's score is a distance."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    blocks = {
        block: np.abs(generator.normal(size=20)) + 1 + shift * labels
        for block, shift in ((2, 1.0), (5, 0.3))
    }
    return Scores(
        labels=labels,
        defects=["good"] * 10 + ["crack"] * 5 + ["dent"] * 5,
        blocks=blocks,
        combined=np.mean(list(blocks.values()), axis=0),
        dimensions={2: 4},
    )

"""Runs and sweeps from Python: the command line's numbers, and nothing changed for the caller."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cluster import REPOSITORY, SMALL, without_time
from program import Program

from gad_bench.base.errors import UserError
from gad_bench.launch.from_python import RunResults, results, run, sweep

DEMO = ["experiment=demo", *SMALL]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the session's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAD_BENCH_CACHE", str(shared_cache))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return tmp_path


def state() -> list[Any]:
    """What a library must leave alone."""
    seeds = (random.getstate(), np.random.get_state()[1].tolist())
    root = logging.getLogger()
    return [dict(os.environ), seeds, list(root.handlers), root.level, Path.cwd(), sys.argv[:]]


def test_a_run_is_that_of_the_command_line_and_changes_nothing_of_the_caller(
    program: Program, place: Path
) -> None:
    by_command = program(*DEMO, "tracking=none")
    before = state()
    found = run(*DEMO, "tracking=none")
    assert state() == before
    assert without_time(found.metrics) == without_time(by_command.metrics)
    pd.testing.assert_frame_equal(found.scores, by_command.scores)
    assert found.folder.parent.parent == place / "work" / "outputs"


def test_a_run_shows_its_essentials_in_a_notebook(place: Path) -> None:
    folder = place / "an 'odd' = folder, <name>"
    found = run("experiment=demo", *SMALL[:-1], "tracking=none", output=folder)
    assert found.folder == folder
    assert {"curves", "contact_sheet"} <= set(found.figures)
    page = found._repr_html_()
    assert f"{found.metrics['auroc']:.4g}" in page
    assert "data:image/png;base64," in page
    assert "&lt;name&gt;" in page


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["covariance=oaks"], "oas"),
        (["dataset.root=x", "+nothing"], "write KEY=VALUE"),
        (["hydra.run.dir=elsewhere"], "name the folder by output="),
    ],
)
def test_what_is_impossible_is_a_users_error_in_one_line(overrides: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refusal:
        run(*DEMO, *overrides, "tracking=none")
    assert len(str(refusal.value).splitlines()) == 1


def test_a_folder_that_hydra_would_read_as_a_reference_is_refused() -> None:
    with pytest.raises(UserError, match="holds a reference"):
        run(*DEMO, output="${oc.env:HOME}")


def test_a_sweep_is_a_row_a_run_with_what_differs_and_why_one_failed() -> None:
    jobs = ["fold.index=0,7", "covariance=identity,diagonal", "tracking=mlflow"]
    found = sweep(*DEMO, *jobs)
    assert found["status"].value_counts().to_dict() == {"finished": 2, "failed": 2}
    assert set(found["covariance"]) == {"identity", "diagonal"}
    assert set(found["fold"]) == {0, 7}
    assert found["auroc"].isna().equals(found["status"] != "finished")
    assert found.loc[found["fold"] == 7, "reason"].str.contains("index").all()
    one = found[found["status"] == "finished"].iloc[0]
    assert RunResults(Path(one["place"])).metrics["auroc"] == one["auroc"]

    tracked = results("sqlite:///mlflow.db")
    columns = ["category", "fold", "covariance", "auroc"]
    alike = [table[table["status"] == "finished"][columns] for table in (found, tracked)]
    first, second = (table.sort_values(columns).reset_index(drop=True) for table in alike)
    pd.testing.assert_frame_equal(first, second)


def test_a_sweep_without_a_finished_run_fails_by_the_reason_of_its_jobs() -> None:
    with pytest.raises(UserError, match=r"^fold\.index=8: there is no such fold"):
        sweep(*DEMO, "fold.index=7,8", "tracking=none")


def test_a_pipe_in_the_place_of_its_scores_is_not_waited_for(place: Path) -> None:
    os.mkfifo(place / "scores.csv")
    with pytest.raises(OSError, match="no regular file"):
        _ = RunResults(place).scores


def test_the_package_offers_them_and_its_own_import_stays_light() -> None:
    program = (
        "import sys, gad_bench; assert not {'pandas', 'hydra', 'torch'} & set(sys.modules); "
        "print(*(callable(getattr(gad_bench, name)) for name in dir(gad_bench)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["True"] * 4, told.stderr

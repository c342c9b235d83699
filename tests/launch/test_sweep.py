"""Sweeps: nothing is done twice, one failure stops nothing, the whole is told and recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from program import Outcome, Program

DEMO = [
    "-m",
    "experiment=demo",
    "dataset.train=20",
    "dataset.test_good=6",
    "dataset.test_defective=3",
    "figures=false",
]


def recorded(outcome: Outcome) -> list[Any]:
    client = MlflowClient(f"sqlite:///{outcome.folder / 'mlflow.db'}")
    return list(client.search_runs([client.get_experiment_by_name("gad_bench").experiment_id]))


def the_sweep(outcome: Outcome) -> Path:
    (folder,) = outcome.folder.glob("multirun/*/*")
    return folder


def test_a_sweep_leaves_a_folder_for_each_job(program: Program) -> None:
    outcome = program(*DEMO, "tracking=none", "fold.index=0,1,2", "covariance=identity,diagonal")
    assert outcome.status == 0, outcome.errors
    assert {run.name for run in outcome.runs} == set("012345")
    assert "6 jobs in" in outcome.output
    assert "6 finished" in outcome.output


def test_jobs_of_a_sweep_share_one_extraction(program: Program, tmp_path: Path) -> None:
    cache = f"cache_dir={tmp_path / 'cache'}"
    outcome = program(*DEMO, "tracking=none", cache, "fold.index=0,1", "blocks=all,best",
                      "blocks.indices=[5]")  # fmt: skip
    hits = [json.loads((run / "metrics.json").read_text())["cache_hit"] for run in outcome.runs]
    assert hits == [False, True, True, True]


def test_one_failed_job_stops_no_other_and_is_named(program: Program) -> None:
    outcome = program(*DEMO, "tracking=none", "covariance=empirical,diagonal,identity")
    assert outcome.status == 2
    assert len(outcome.runs) == 2
    lines = outcome.errors.splitlines()
    (told,) = [number for number, line in enumerate(lines) if line.startswith("failed: ")]
    assert "use covariance=ledoit_wolf" in lines[told]
    assert lines[told + 1].startswith("  job 0: ")
    assert "covariance=empirical" in lines[told + 1]
    assert "Traceback" not in outcome.errors


def test_an_error_of_many_jobs_is_told_once(program: Program) -> None:
    outcome = program(*DEMO, "tracking=none", "covariance=empirical", "fold.index=0,1,2")
    assert outcome.errors.count("failed: ") == 1
    assert [f"  job {number}: " in outcome.errors for number in range(3)] == [True] * 3


def test_the_runs_nest_under_the_sweeps_own(program: Program) -> None:
    outcome = program(*DEMO, "covariance=empirical,diagonal,identity")
    runs = recorded(outcome)
    (parent,) = [run for run in runs if run.data.tags.get("role") == "sweep"]
    children = [run for run in runs if run is not parent]
    assert parent.data.metrics == {"jobs": 3, "jobs_failed": 1, "jobs_restored": 0}
    assert parent.info.status == "FAILED"
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert sorted(run.info.status for run in children) == ["FAILED", "FINISHED", "FINISHED"]


def test_the_summary_lists_every_job(program: Program) -> None:
    outcome = program(*DEMO, "tracking=none", "covariance=empirical,diagonal")
    jobs = pd.read_csv(the_sweep(outcome) / "summary" / "jobs.csv")
    assert list(jobs["outcome"]) == ["failed", "finished"]
    assert jobs["auroc"][1] == outcome.metrics["auroc"]
    assert "training images" in jobs["error"][0]


def test_a_store_that_cannot_be_used_is_told_before_any_job(program: Program) -> None:
    outcome = program(*DEMO, "tracking.uri=nonsense://x", "fold.index=0,1")
    assert outcome.status == 2
    assert outcome.errors.count("tracking.uri=nonsense://x cannot be used") == 1
    assert outcome.runs == []


@pytest.mark.parametrize(
    ("swept", "example"),
    [
        (["category=wood,fabric", "fold.index=0,1"], "'save=it/${category}_${fold.index}'"),
        (["covariance=oas,identity"], "'save=it/${hydra:job.num}'"),
    ],
)
def test_one_folder_for_the_detectors_of_many_jobs_is_refused_before_any(
    program: Program, swept: list[str], example: str
) -> None:
    outcome = program(*DEMO, "tracking=none", "save=it", *swept)
    assert outcome.status == 2
    assert example in outcome.errors
    assert outcome.runs == []


def test_each_job_of_a_sweep_may_save_its_detector(program: Program) -> None:
    outcome = program(*DEMO, "tracking=none", "covariance=oas,identity", "save=it/${hydra:job.num}")
    assert outcome.status == 0, outcome.errors
    assert {path.name for path in (outcome.folder / "it").iterdir()} == {"0", "1"}


RESUMED = [*DEMO, "resume=true", "covariance=identity,diagonal,ledoit_wolf"]


def test_a_resumed_sweep_runs_only_what_had_not_finished(program: Program) -> None:
    first = program(*RESUMED)
    assert "3 finished" in first.output
    client = MlflowClient(f"sqlite:///{first.folder / 'mlflow.db'}")
    (lost,) = [run for run in recorded(first) if run.data.tags.get("covariance") == "diagonal"]
    client.update_run(lost.info.run_id, status="RUNNING")
    second = program(*RESUMED)
    assert second.status == 0, second.errors
    assert "2 restored" in second.output
    assert "1 finished" in second.output
    covariances = [run.data.tags.get("covariance") for run in recorded(second)]
    assert covariances.count("diagonal") == 2
    assert covariances.count("identity") == covariances.count("ledoit_wolf") == 1


def test_a_restored_job_has_its_files_and_nests_under_the_new_sweep(program: Program) -> None:
    first = program(*RESUMED)
    scores = {run.name: (run / "scores.csv").read_bytes() for run in first.runs}
    second = program(*RESUMED)
    newest = max(second.folder.glob("multirun/*/*"))
    assert {
        run.name: (newest / run.name / "scores.csv").read_bytes() for run in first.runs
    } == scores
    parent, *_ = [run for run in recorded(second) if run.data.tags.get("role") == "sweep"]
    assert parent.data.metrics["jobs_restored"] == 3
    children = [run for run in recorded(second) if "covariance" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}


def test_a_changed_image_is_no_finished_job(program: Program, tmp_path: Path) -> None:
    pictures = tmp_path / "goods"
    source = program(*DEMO, "tracking=none").scores["path"][0]
    shutil.copytree(Path(source).parents[2], pictures / "wood")
    own = ["backbone=filterbank", "dataset=folder", f"dataset.root={pictures}", "category=wood",
           "resume=true", "figures=false"]  # fmt: skip
    assert "done already" not in program(*own).output
    assert "done already" in program(*own).output
    chosen = sorted((pictures / "wood" / "test" / "good").iterdir())
    shutil.copy(chosen[0], chosen[1])
    assert "done already" not in program(*own).output


def test_resuming_without_a_record_is_refused(program: Program) -> None:
    outcome = program(*DEMO[1:], "resume=true", "tracking=none")
    assert outcome.status == 2
    assert "resume=true" in outcome.errors

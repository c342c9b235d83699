"""Sweeps: nothing is done twice, one failure stops nothing, the whole is told and recorded."""

from __future__ import annotations

import gc
import html
import json
import pickle
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig
from PIL import Image
from program import Outcome, Program
from recorded import recorded_runs, store_in

from gad_bench.launch.sweep import _markdown
from gad_bench.steps import identity

DEMO = [
    "-m",
    "experiment=demo",
    "dataset.train=20",
    "dataset.test_good=6",
    "dataset.test_defective=3",
    "figures=false",
]


def recorded(outcome: Outcome) -> list[Any]:
    return recorded_runs(store_in(outcome.folder))


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


RESUMED = [*DEMO, "resume=true", "covariance=identity,diagonal"]


def test_a_resumed_sweep_runs_only_what_had_not_finished(program: Program) -> None:
    first = program(*RESUMED)
    assert "2 finished" in first.output
    client = MlflowClient(store_in(first.folder))
    (lost,) = [run for run in recorded(first) if run.data.tags.get("covariance") == "diagonal"]
    client.update_run(lost.info.run_id, status="RUNNING")
    second = program(*RESUMED)
    assert second.status == 0, second.errors
    assert "1 restored" in second.output
    assert "1 finished" in second.output
    covariances = [run.data.tags.get("covariance") for run in recorded(second)]
    assert (covariances.count("diagonal"), covariances.count("identity")) == (2, 1)


def test_a_restored_job_has_its_files_and_nests_under_the_new_sweep(program: Program) -> None:
    first = program(*RESUMED)
    scores = {run.name: (run / "scores.csv").read_bytes() for run in first.runs}
    second = program(*RESUMED)
    newest = max(second.folder.glob("multirun/*/*"))
    assert {
        run.name: (newest / run.name / "scores.csv").read_bytes() for run in first.runs
    } == scores
    parent, *_ = [run for run in recorded(second) if run.data.tags.get("role") == "sweep"]
    assert parent.data.metrics["jobs_restored"] == 2
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


ONE = [*DEMO[1:], "resume=true", "backbone.octaves=1", "backbone.input_size=64"]
BEFORE = "done already"


def the_artifacts(outcome: Outcome) -> Path:
    (run,) = [run for run in recorded(outcome) if run.info.status == "FINISHED"]
    return Path(urlsplit(run.info.artifact_uri).path)


def test_what_was_recorded_and_is_damaged_is_run_again(program: Program) -> None:
    first = program(*ONE)
    metrics = the_artifacts(first) / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"auroc": 0.', '"auroc": 1.'))
    again = program(*ONE)
    assert "metrics.json is missing or damaged: it is run again" in again.output
    assert BEFORE not in again.output
    assert again.metrics["auroc"] == first.metrics["auroc"]
    assert BEFORE in program(*ONE).output


def test_figures_that_are_asked_for_later_are_drawn(program: Program) -> None:
    program(*ONE)
    drawn = program(*ONE, "figures=true")
    assert BEFORE not in drawn.output
    assert (drawn.runs[-1] / "curves.png").exists()
    assert BEFORE in program(*ONE).output
    explained = program(*ONE, "figures=true", "explanation=components")
    assert "without explanation" in explained.output
    assert (explained.runs[-1] / "explanation.png").exists()
    again = program(*ONE, "figures=true", "explanation=components")
    assert BEFORE in again.output
    assert (again.runs[-1] / "explanation.png").exists()


def test_another_version_of_what_makes_the_numbers_is_another_run(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(*ONE, "runtime=openvino")
    others = {**identity.versions(), "version.timm": "0.0"}  # which the filter bank does not use
    monkeypatch.setattr(identity, "versions", lambda: others)
    assert BEFORE in program(*ONE, "runtime=openvino").output
    monkeypatch.setattr(identity, "versions", lambda: {**others, "version.openvino": "0.0"})
    assert BEFORE not in program(*ONE, "runtime=openvino").output


def test_resuming_without_a_record_is_refused(program: Program) -> None:
    outcome = program(*DEMO[1:], "resume=true", "tracking=none")
    assert outcome.status == 2
    assert "resume=true" in outcome.errors


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


def test_a_categorys_name_is_nothing_but_a_name(program: Program, tmp_path: Path) -> None:
    """What Hydra, OmegaConf and the shell would read as something else is run on as it stands."""
    victim, root = tmp_path / "touched", tmp_path / "images"
    Path("evil.pkl").write_bytes(pickle.dumps(Trap(victim)))
    names = {
        "${category_names:{_target_:joblib.load,filename:evil.pkl}}",
        *("${oc.env:HOME}", "\\${b}", "a,b", "a=b", "it's", 'say "no"', "end\\", "[a", "{c"),
    }
    for name in names:
        draw_category(root / name)
    outcome = program(
        *("-m", "experiment=table1", "dataset=folder", f"dataset.root={root}"),
        *("tracking=none", "covariance=diagonal", "fold=full", "blocks.indices=[0]"),
        *("backbone=filterbank", "backbone.octaves=1", "backbone.input_size=64"),
    )
    assert outcome.status == 0, outcome.errors
    configs = [yaml.safe_load((run / "config.yaml").read_text()) for run in outcome.runs]
    assert {config["category"] for config in configs} == names
    assert not victim.exists()
    report = (the_sweep(outcome) / "summary" / "report.html").read_text()
    assert all(name in html.unescape(report) for name in names)


def draw_category(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for place, count in (("train/good", 6), ("test/good", 2), ("test/bad", 2)):
        (folder / place).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / place / f"{number}.png")


ADDRESS = "https://ann:secret@mlflow.example"


@pytest.mark.parametrize(
    "arguments",
    [
        [*DEMO[1:], f"tracking.uri={ADDRESS}"],
        [*DEMO, "fold.index=0,1", f"tracking.uri={ADDRESS}"],
        [*DEMO, f"tracking.uri=sqlite:///a.db,'{ADDRESS}'"],
        [*DEMO, "tracking=none,mlflow", f"++tracking.uri={ADDRESS}"],
        [*DEMO[1:], "++tracking.uri='postgresql://host/db?password=secret'"],
    ],
    ids=["run", "sweep", "swept", "added", "query"],
)
def test_a_password_is_refused_before_anything_is_written(
    program: Program, arguments: list[str]
) -> None:
    outcome = program(*arguments)
    assert outcome.status == 2
    assert "MLFLOW_TRACKING_PASSWORD" in outcome.errors
    assert "secret" not in outcome.output + outcome.errors
    written = [path for path in outcome.folder.rglob("*") if path.is_file()]
    assert not [path for path in written if "secret" in path.read_text(errors="ignore")]


def test_nor_does_one_from_the_environment_come_to_the_disk(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ADDRESS)
    for arguments in (DEMO[1:], [*DEMO, "fold.index=0,1"]):
        outcome = program(*arguments)
        assert outcome.status == 2
        assert list(outcome.folder.rglob("*.yaml")) == []


def test_a_sweep_keeps_no_configs_of_the_jobs_that_are_done(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = []

    def count_configs(*_: object) -> dict[str, float]:
        gc.collect()
        alive.append(sum(isinstance(thing, DictConfig) for thing in gc.get_objects()))
        return {"auroc": 0.5}

    monkeypatch.setattr("gad_bench.run.run", count_configs)
    program(*DEMO, "tracking=none", "seed=range(0,6)")
    assert len(alive) == 6
    assert alive[5] - alive[2] < 10


def test_an_override_with_a_bar_does_not_break_the_table_of_jobs() -> None:
    jobs = pd.DataFrame([{"job": 0, "overrides": "category=a|b", "auroc": np.nan}])
    lines = _markdown(jobs).splitlines()
    assert lines == [
        "| job | overrides | auroc |",
        "| --- | --- | --- |",
        r"| 0 | category=a\|b |  |",
    ]

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from gad_bench.report.asked import asked_jobs, composed_keys
from gad_bench.report.folders import read_folder

TINY = ("dataset=demo", "backbone=filterbank")


def test_the_jobs_are_the_product_of_what_the_command_line_sweeps(
    tmp_path: Path, sweep_folder: Any
) -> None:
    sweep = sweep_folder(tmp_path / "s", "category=wood,fabric", "fold.index=range(2)", *TINY)
    assert asked_jobs(sweep.path / "multirun.yaml") == [
        (f"category={category}", f"fold.index={fold}", *TINY)
        for category in ("wood", "fabric")
        for fold in (0, 1)
    ]


def test_the_command_line_stands_above_an_experiments_own_sweep(
    tmp_path: Path, sweep_folder: Any
) -> None:
    task = ("experiment=table1", "covariance=oas", "category=wood", *TINY)
    jobs = asked_jobs(sweep_folder(tmp_path / "s", *task).path / "multirun.yaml")
    assert [set(job) for job in jobs] == [set(task)]


@pytest.mark.parametrize(
    ("swept", "choices"),
    [
        ("combination=glob(*)", 5),
        ("covariance=glob([l*,o*],exclude=*nonlinear)", 2),
        ("seed=range(1,7,2)", 3),
        ("covariance=choice(oas,shrunk)", 2),
        ("seed=shuffle(range(4))", 4),
        ("covariance=sort(oas,identity,reverse=true)", 2),
        ("covariance=shuffle(oas,identity,shrunk)", 3),
        ("seed=sort(range(3))", 3),
    ],
)
def test_every_way_to_sweep_is_understood(
    tmp_path: Path, sweep_folder: Any, swept: str, choices: int
) -> None:
    multirun = sweep_folder(tmp_path / "s", "category=wood", swept, *TINY).path / "multirun.yaml"
    jobs = asked_jobs(multirun)
    assert len(set(jobs)) == choices
    key = swept.partition("=")[0]
    assert {job[1].partition("=")[0] for job in jobs} == {key}
    assert len(list(composed_keys(multirun, jobs))) == choices


def test_another_sweeper_tells_nothing_of_its_jobs(tmp_path: Path, sweep_folder: Any) -> None:
    multirun = sweep_folder(tmp_path / "s", "category=wood,fabric", *TINY).path / "multirun.yaml"
    config = OmegaConf.load(multirun)
    config.hydra.sweeper._target_ = "hydra_plugins.optuna.OptunaSweeper"
    OmegaConf.save(config, multirun)
    assert asked_jobs(multirun) == []


def test_a_data_set_that_has_gone_changes_nothing(tmp_path: Path, sweep_folder: Any) -> None:
    root = tmp_path / "images"
    (root / "bolt" / "train").mkdir(parents=True)
    task = ("experiment=table1", "dataset=folder", f"dataset.root={root}", "backbone=filterbank")
    multirun = sweep_folder(tmp_path / "s", *task).path / "multirun.yaml"
    assert len(asked_jobs(multirun)) == 3
    (root / "bolt" / "train").rmdir()
    assert len(asked_jobs(multirun)) == 3


def plant(folder: Path) -> tuple[str, Path]:
    """Write a pickle that touches a file when it is read; return a node that reads it, and it."""
    victim = folder / "touched"
    (folder / "evil.pkl").write_bytes(pickle.dumps(Trap(victim)))
    return f"{{_target_:joblib.load,filename:{folder / 'evil.pkl'}}}", victim


class Trap:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("place", ["params", "task", "choice", "dataset"])
def test_nothing_that_a_sweeps_file_says_is_run(
    place: str, tmp_path: Path, sweep_folder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    node, victim = plant(tmp_path)
    reference = f"${{category_names:{node}}}"
    multirun = sweep_folder(tmp_path / "s", "category=wood,fabric", *TINY).path / "multirun.yaml"
    config = yaml.safe_load(multirun.read_text())
    config["hydra"]["sweeper"]["params"] = {"fold.index": 0}
    if place == "params":
        config["hydra"]["sweeper"]["params"]["category"] = reference
    if place == "task":
        config["hydra"]["overrides"]["task"] = [f"category='{reference}'", *TINY]
    if place == "choice":
        config["hydra"]["overrides"]["task"] = [f"dataset={reference}"]
    if place == "dataset":
        config["dataset"] = {"_target_": "joblib.load", "filename": str(tmp_path / "evil.pkl")}
        config["hydra"]["sweeper"]["params"]["category"] = "*"
    multirun.write_text(yaml.safe_dump(config))
    list(composed_keys(multirun, asked_jobs(multirun)))
    assert not victim.exists()
    assert ("cannot be told" in caplog.text) == (place in ("params", "choice"))


@pytest.mark.parametrize("content", ["", "[]", "hydra: 1", "hydra: {sweeper: []}", "{", "&a [*a]"])
def test_a_damaged_file_of_a_sweep_asks_for_nothing(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "multirun.yaml").write_text(content)
    assert asked_jobs(tmp_path / "multirun.yaml") == []
    assert "cannot be told" in caplog.text


def test_a_job_that_never_started_has_the_keys_that_it_would_have_had(
    tmp_path: Path, sweep_folder: Any
) -> None:
    job = ("category=wood", "experiment=table3", "variant=npca_999", *TINY)
    sweep = sweep_folder(tmp_path / "s", *job)
    (keys,) = composed_keys(sweep.path / "multirun.yaml", [job])
    sweep.add(0, *job, metrics={"auroc": 0.9})
    (run,) = read_folder(sweep.path)
    assert keys == run.keys
    assert (keys["reduction"], keys["reduction.threshold"]) == ("npca", "0.999")


def test_a_category_may_have_any_name(tmp_path: Path, sweep_folder: Any) -> None:
    root = tmp_path / "images"
    names = [
        *(
            "$x^$",
            "${oc.env:HOME}",
            "${unclosed",
            "007",
            "[a",
            "\\${b}",
            "a=b",
            "end\\",
            "it's, new",
        ),
        *("my part (1)", 'say "no"', "true", "{c: d}"),
    ]
    for name in names:
        (root / name / "train").mkdir(parents=True)
    task = ("experiment=table1", "dataset=folder", f"dataset.root={root}")
    sweep = sweep_folder(tmp_path / "s", *task, "backbone=filterbank", "covariance=oas")
    multirun = sweep.path / "multirun.yaml"
    keys = composed_keys(multirun, asked_jobs(multirun))
    assert sorted(own["category"] for own in keys) == sorted(names)

"""Sweeps in several processes: the same numbers, nothing lost, a killed job is told and resumed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster import (
    JOBS,
    SWEEP,
    assert_nothing_lost,
    assert_same_as_serial,
    deadly_choice,
    environment,
    finished_metrics,
    read_metrics,
    run_program,
    written_metrics,
)
from hydra import compose, initialize_config_dir
from program import Program
from recorded import recorded_sweep, store_in

from gad_bench.base import process as device
from gad_bench.base.errors import UserError
from gad_bench.base.process import config_folder
from gad_bench.config import register
from gad_bench.launch.sweep import require_launcher

PRESETS = sorted(path.stem for path in (config_folder() / "hydra" / "launcher").glob("*.yaml"))


def launcher_config(*overrides: str) -> Any:
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [*overrides], return_hydra_config=True).hydra


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_what_its_option_means(preset: str, recwarn: pytest.WarningsRecorder) -> None:
    hydra = launcher_config(f"hydra/launcher={preset}")
    assert preset.partition("_")[0] in hydra.launcher._target_
    assert not [w for w in recwarn if "schema" in str(w.message)]


@pytest.mark.parametrize(("gpus", "processes", "per_job"), [(0, -1, 0), (1, 1, 1), (4, 4, 1)])
def test_a_job_has_a_gpu_where_there_is_one(
    gpus: int, processes: int, per_job: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gad_bench.base.process.cuda_devices", lambda: gpus)
    assert launcher_config("hydra/launcher=joblib").launcher.n_jobs == processes
    assert launcher_config("hydra/launcher=ray").launcher.ray.remote.num_gpus == per_job


def test_jobs_of_one_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cuda_devices", lambda: 2)
    chosen = []
    for number in range(4):
        monkeypatch.setenv("GAD_BENCH_GPU", str(number))
        chosen.append(device.resolve_device("auto"))
    assert chosen == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("preset", "extra"), [("joblib", "joblib"), ("ray", "ray"), ("submitit_local", "slurm")]
)
def test_a_launcher_that_is_not_installed_names_the_extra(
    preset: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = launcher_config(f"hydra/launcher={preset}").launcher._target_
    monkeypatch.setitem(sys.modules, target.rpartition(".")[0], None)
    with pytest.raises(UserError, match=rf"pip install 'gad-bench\[{extra}\]'"):
        require_launcher(target)


def test_slurm_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs gad-bench[slurm]")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="no srun: start the sweep on a node"):
        require_launcher(launcher_config("hydra/launcher=submitit_slurm").launcher._target_)


def test_slurm_is_given_the_presets_resources_and_threads(tmp_path: Path) -> None:
    """`sbatch` is a stand-in that takes the script, for no Slurm is at hand."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs gad-bench[slurm]")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in (("srun", ""), ("sbatch", f'cp "${{@: -1}}" {tmp_path}/script; exit 1')):
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    env = environment(tmp_path / "cache", PATH=f"{tools}:{os.environ['PATH']}")
    sweep = [*SWEEP, "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"]
    outcome = run_program(tmp_path / "work", env, *sweep, "fold.index=0,1,2")
    assert outcome.status == 1
    script = (tmp_path / "script").read_text()
    for line in ("--cpus-per-task=4", "--mem=16GB", "--partition=gpu", "--array=0-2%3"):
        assert f"#SBATCH {line}" in script
    assert "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK" in script


def test_a_missing_extra_ends_a_sweep_before_it_starts(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "hydra_plugins.hydra_joblib_launcher.joblib_launcher"
    monkeypatch.setitem(sys.modules, module, None)
    outcome = program(*SWEEP, "hydra/launcher=joblib", "fold.index=0,1")
    assert outcome.status == 2
    (line,) = outcome.errors.splitlines()
    assert line.endswith("pip install 'gad-bench[joblib]'")
    assert not (outcome.folder / "mlflow.db").exists()


@pytest.fixture(scope="module")
def joblib() -> str:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs gad-bench[joblib]")
    return "hydra/launcher=joblib"


def test_processes_compute_what_one_process_does_and_lose_nothing(
    joblib: str, tmp_path: Path
) -> None:
    env = environment(tmp_path / "cache")
    parallel = run_program(tmp_path / "work", env, *SWEEP, joblib, "hydra.launcher.n_jobs=2", *JOBS)
    assert_same_as_serial(parallel, tmp_path / "serial")
    assert_nothing_lost(parallel, store_in(parallel.folder))
    extracted = [run for run in parallel.runs if not read_metrics(run)["cache_hit"]]
    assert len(extracted) == JOBS[0].count(",") + 1  # each category's images, once


def test_a_failed_job_in_another_process_is_told_as_in_this_one(
    joblib: str, tmp_path: Path, shared_cache: Path
) -> None:
    outcome = run_program(
        tmp_path / "work",
        environment(shared_cache),
        *SWEEP,
        joblib,
        "tracking=none",
        "covariance=empirical,identity",
    )
    assert outcome.status == 2
    (line,) = [line for line in outcome.errors.splitlines() if line.startswith("failed: ")]
    assert "use covariance=ledoit_wolf" in line
    assert "Traceback" not in outcome.errors
    assert len(outcome.runs) == 1


def test_a_killed_process_is_told_and_what_is_left_is_resumed(
    joblib: str, tmp_path: Path, shared_cache: Path
) -> None:
    choices, own = deadly_choice(tmp_path / "own")
    env = environment(shared_cache, **own)
    sweep = [choices, *SWEEP, joblib, "hydra.launcher.n_jobs=2"]
    sweep += ["combination=mean,deadly", "fold.index=0,1"]
    killed = run_program(tmp_path / "work", env, *sweep)
    assert killed.status == 1
    assert "Traceback" not in killed.errors
    assert "4 jobs in" in killed.output
    assert "unfinished: " in killed.errors
    parent, nested = recorded_sweep(store_in(killed.folder))
    assert parent.data.metrics["jobs"] == 4
    assert parent.data.metrics["jobs_failed"] >= 1
    assert {run.info.status for run in nested} == {"FINISHED", "KILLED"}
    finished = finished_metrics(store_in(killed.folder))
    written = written_metrics(killed)  # one may have been killed while it was being recorded
    assert all(metrics in written for metrics in finished)

    resumed = run_program(tmp_path / "work", env, *sweep, "resume=true")
    assert resumed.status == 0, resumed.errors
    assert f"{len(finished)} restored" in resumed.output
    assert f"{4 - len(finished)} finished" in resumed.output

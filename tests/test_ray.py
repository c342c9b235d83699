"""Sweeps on a Ray cluster of two nodes: the same numbers, nothing lost, a killed job resumed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cluster import (
    JOBS,
    SWEEP,
    assert_nothing_lost,
    assert_same_as_serial,
    deadly_choice,
    environment,
    run_program,
)
from ray_cluster import ray_cluster
from recorded import recorded_sweep, store_in

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="needs pip install 'gad-bench[ray]'"
)


@pytest.fixture(scope="module")
def own_choices(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    return deadly_choice(tmp_path_factory.mktemp("own") / "choices")


@pytest.fixture(scope="module")
def env(
    own_choices: tuple[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a shell on a cluster, as its nodes were started in it."""
    shell = environment(tmp_path_factory.mktemp("shared") / "cache", **own_choices[1])
    with ray_cluster(2, shell) as address:
        yield shell | {"RAY_ADDRESS": address}


def test_a_cluster_computes_what_one_process_does_and_loses_nothing(
    env: dict[str, str], tmp_path: Path
) -> None:
    sweep = run_program(tmp_path / "work", env, *SWEEP, "hydra/launcher=ray", *JOBS)
    assert_same_as_serial(sweep, tmp_path / "serial")
    assert_nothing_lost(sweep, store_in(sweep.folder))


def test_a_killed_job_is_told_and_what_is_left_is_resumed(
    env: dict[str, str], own_choices: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    choices = [own_choices[0], *SWEEP, "combination=mean,deadly", "fold.index=0,1"]
    sweep = [*choices, "hydra/launcher=ray", "hydra.launcher.ray.remote.max_retries=0"]
    killed = run_program(tmp_path / "work", env, *sweep)
    assert killed.status == 1
    assert "Traceback" not in killed.errors
    assert "WorkerCrashedError" in killed.errors
    assert "unfinished: " in killed.errors
    uri = store_in(killed.folder)
    assert "KILLED" in {run.info.status for run in recorded_sweep(uri)[1]}
    assert_nothing_lost(killed, uri)

    done = len(killed.runs)
    resumed = run_program(tmp_path / "work", env, *sweep, "resume=true")
    assert resumed.status == 0, resumed.errors
    assert f"{done} restored" in resumed.output
    assert f"{4 - done} finished" in resumed.output


def test_the_preset_runs_a_killed_job_again_by_itself(
    env: dict[str, str], own_choices: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    deadly = f"combination.marker={tmp_path / 'killed'}"
    sweep = [own_choices[0], *SWEEP, "hydra/launcher=ray", "combination=deadly", deadly]
    outcome = run_program(tmp_path / "work", env, *sweep, "fold.index=0,1")
    assert outcome.status == 0, outcome.errors
    assert "2 finished" in outcome.output
    _, nested = recorded_sweep(store_in(outcome.folder))
    assert sorted(run.info.status for run in nested) == ["FINISHED", "FINISHED", "KILLED"]

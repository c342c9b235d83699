from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gad_bench.base.errors import UserError
from gad_bench.report.folders import latest_sweep, read_folder
from gad_bench.report.frame import Run, Status, long_frame, one_run_each
from gad_bench.report.tables import Layout, fill
from gad_bench.report.text import lacking_text

TINY = ("dataset=demo", "backbone=filterbank")
CATEGORIES = Layout(name="t", title="T", rows=("category",), columns=("covariance",))
LAYOUT = Layout(name="t", title="T", rows=("covariance",), columns=("dataset",))


def overrides(category: str, fold: int, covariance: str) -> tuple[str, ...]:
    return (f"category={category}", f"fold.index={fold}", f"covariance={covariance}", *TINY)


@pytest.fixture
def sweep(tmp_path: Path, sweep_folder: Any) -> Any:
    """Two estimators, three categories, two folds; one job failed, one stopped, one never began."""
    folder = sweep_folder(
        tmp_path / "multirun" / "1",
        *("category=fabric,wood,hex_nut", "fold.index=0,1", "covariance=identity,diagonal", *TINY),
    )
    aurocs = {
        ("identity", "fabric"): (0.90, 0.92),
        ("identity", "wood"): (0.80, None),
        ("identity", "hex_nut"): (0.70, 0.74),
        ("diagonal", "fabric"): (0.50, 0.50),
        ("diagonal", "wood"): (0.60, 0.62),
        ("diagonal", "hex_nut"): (0.70, None),
    }
    for number, ((covariance, category), folds) in enumerate(aurocs.items()):
        for fold, auroc in enumerate(folds):
            job = overrides(category, fold, covariance)
            if auroc is not None:
                folder.add(2 * number + fold, *job, metrics={"auroc": auroc})
    folder.add(3, *overrides("wood", 1, "identity"), failure="block 1: no feature varies")
    return folder


def test_each_job_of_a_sweep_is_found_as_it_ended(sweep: Any) -> None:
    runs = read_folder(sweep.path)
    assert len(runs) == 12
    ends = {(r.status, r.keys["covariance"], r.keys["category"], r.keys["fold"]) for r in runs}
    assert (Status.FAILED, "identity", "wood", "1") in ends
    assert (Status.MISSING, "diagonal", "hex_nut", "1") in ends
    assert sum(run.status is Status.FINISHED for run in runs) == 10


def test_the_table_of_a_sweep_is_the_one_computed_by_hand(sweep: Any) -> None:
    table = fill(LAYOUT, long_frame(read_folder(sweep.path)))
    identity, diagonal = (table.cell((name,), ("demo",)) for name in ("identity", "diagonal"))
    # 91, 80 and 72: mean 81, variance (100 + 1 + 81) / 2 = 91.
    assert (identity.mean, identity.sem) == pytest.approx((81, math.sqrt(91 / 3)))
    assert lacking_text(identity) == "5 of 6, 1 failed"
    # 50, 61 and 70: mean 181 / 3, squared deviations 961/9, 4/9 and 841/9.
    assert (diagonal.mean, diagonal.sem) == pytest.approx((181 / 3, math.sqrt(1806 / 9 / 2 / 3)))
    assert lacking_text(diagonal) == "5 of 6"
    assert table.count_text == "10 of 12 runs (1 failed, 1 missing)"


def test_a_repeated_job_counts_once_by_its_newest_finished_run(sweep: Any) -> None:
    job = overrides("fabric", 0, "identity")
    sweep.add(20, *job, metrics={"auroc": 0.98}, ended=2000)
    sweep.add(21, *job, failure="interrupted", ended=3000)
    jobs, repeated = one_run_each(long_frame(read_folder(sweep.path)))
    assert (jobs["run"].nunique(), repeated) == (12, 1)
    categories = fill(CATEGORIES, jobs)
    assert categories.cell(("fabric",), ("identity",)).mean == pytest.approx(95)  # (98 + 92) / 2
    identity = fill(LAYOUT, jobs).cell(("identity",), ("demo",))
    assert identity.mean == pytest.approx((95 + 80 + 72) / 3)


def test_a_later_sweep_that_finishes_what_lacked_completes_the_table(
    sweep: Any, sweep_folder: Any
) -> None:
    rest = sweep_folder(sweep.path.parent / "2", *overrides("wood", 1, "identity"))
    rest.add(0, *overrides("wood", 1, "identity"), metrics={"auroc": 0.9}, ended=2000)
    rest.add(1, *overrides("hex_nut", 1, "diagonal"), metrics={"auroc": 0.9}, ended=2000)
    jobs, repeated = one_run_each(long_frame(read_folder(sweep.path.parent)))
    assert (jobs["run"].nunique(), repeated) == (12, 0)
    assert fill(LAYOUT, jobs).count_text == "12 of 12 runs"


def test_a_run_that_was_stopped_is_missing(sweep: Any) -> None:
    (sweep.path / "0" / "metrics.json").unlink()
    (stopped,) = [run for run in read_folder(sweep.path) if run.reason == "not finished"]
    assert (stopped.status, stopped.keys["category"]) == (Status.MISSING, "fabric")


def test_a_run_with_a_damaged_file_counts_as_failed(sweep: Any) -> None:
    (sweep.path / "0" / "metrics.json").write_text('{"auroc": 0.')
    (damaged,) = [run for run in read_folder(sweep.path) if "damaged" in run.reason]
    assert damaged.status is Status.FAILED


def test_a_timm_model_goes_by_its_own_name_and_a_full_fold_by_full(
    tmp_path: Path, sweep_folder: Any
) -> None:
    job = ("backbone=timm", "backbone.name=convnext_tiny.fb_in1k", "fold=full")
    sweep_folder(tmp_path / "s", *job).add(0, *job, metrics={"auroc": 0.9})
    (run,) = read_folder(tmp_path)
    assert (run.keys["backbone"], run.keys["fold"]) == ("convnext_tiny.fb_in1k", "full")


def test_the_latest_sweep_is_the_one_written_last(tmp_path: Path) -> None:
    for name, time in (("a", 30), ("b", 10)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "multirun.yaml").touch()
        os.utime(tmp_path / name / "multirun.yaml", (time, time))
    assert latest_sweep(tmp_path) == tmp_path / "a"


def test_another_programs_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0" / ".hydra").mkdir(parents=True)
    for name in ("config", "overrides", "hydra"):
        (tmp_path / "0" / ".hydra" / f"{name}.yaml").write_text("{}")
    with pytest.raises(UserError, match="0 is no run of gad_bench"):
        read_folder(tmp_path)


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        read_folder(tmp_path)
    with pytest.raises(UserError, match=r"there is no sweep in .*--tracking-uri"):
        latest_sweep(tmp_path / "multirun")


DAMAGED = ("", "{", "[1, 2]", "null", "a: [", "&a [*a]", "\x00", "text")


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize(
    "name",
    ["0/.hydra/config.yaml", "0/.hydra/hydra.yaml", "0/.hydra/overrides.yaml", "multirun.yaml"],
)
def test_a_damaged_file_of_hydras_is_one_line_or_a_job_that_lacks(
    sweep: Any, name: str, content: str
) -> None:
    (sweep.path / name).write_text(content)
    assert_one_line_or_twelve_jobs(sweep.path)


@pytest.mark.parametrize("content", [*DAMAGED, '{"auroc": null}', '{"auroc": 1e999}', "[" * 99999])
@pytest.mark.parametrize("name", ["metrics.json", "failure.json"])
def test_a_damaged_file_of_a_run_counts_as_failed(sweep: Any, name: str, content: str) -> None:
    (sweep.path / "0" / name).write_text(content)
    (damaged,) = [run for run in read_folder(sweep.path) if f"{name} is damaged" in run.reason]
    assert damaged.status is Status.FAILED


@pytest.mark.parametrize(
    "name",
    [
        *("0/metrics.json", "0/failure.json", "0/.hydra", "multirun.yaml"),
        *(f"0/.hydra/{name}.yaml" for name in ("config", "hydra", "overrides")),
    ],
)
@pytest.mark.parametrize("kind", ["none", "folder", "pipe", "latin-1"])
def test_what_stands_in_a_files_place_is_one_line_or_a_job_that_lacks(
    sweep: Any, name: str, kind: str
) -> None:
    path = sweep.path / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "latin-1":
        path.write_bytes(b"\xe4")
    assert_one_line_or_twelve_jobs(sweep.path)


def assert_one_line_or_twelve_jobs(folder: Path) -> None:
    runs, error = read_or_refused(folder)
    if error:
        assert "\n" not in error
        assert str(folder) in error
    else:
        without_sweep = 11  # what never started is known by multirun.yaml alone
        expected = 12 if (folder / "multirun.yaml").is_file() else without_sweep
        assert len({run.job for run in runs}) == expected


def read_or_refused(folder: Path) -> tuple[list[Run], str]:
    try:
        return read_folder(folder), ""
    except UserError as error:
        return [], str(error)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gad_bench.report.__main__ import main

TINY = ("dataset=demo", "backbone=filterbank")


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep_folder: Any) -> Any:
    monkeypatch.chdir(tmp_path)
    task = ("category=wood,fabric", "covariance=oas,identity", *TINY)
    folder = sweep_folder(tmp_path / "multirun" / "day" / "time", *task)
    for number, (category, covariance, auroc) in enumerate(
        [("wood", "oas", 0.9), ("wood", "identity", 0.7), ("fabric", "oas", 0.8)]
    ):
        job = (f"category={category}", f"covariance={covariance}", *TINY)
        folder.add(number, *job, metrics={"auroc": auroc, "auroc_block_0": auroc - 0.1})
    return folder


@pytest.mark.usefixtures("sweep")
def test_without_arguments_the_newest_sweep_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "| all categories | 85.0 ± 5.0 | 70.0 (1 of 2) |" in printed
    assert "3 of 4 runs (1 missing)" in printed
    assert Path("report/report.html").is_file()


@pytest.mark.usefixtures("sweep")
def test_rows_columns_metric_and_conditions_choose_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--rows", "category", "--columns", "covariance", "--where", "block=0"]
    assert main([*arguments, "covariance=oas", "--output", "out"]) == 0
    assert "| wood | 80.0 |" in capsys.readouterr().out
    assert Path("out/category_by_covariance.csv").is_file()


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "category"], "name both"),
        (["--table", "table1", "--rows", "a", "--columns", "b"], "leave --rows and --columns out"),
        (["--where", "covariance"], "--where takes KEY=VALUE, not 'covariance'"),
        (["--from", "nowhere"], "holds no run"),
        (["--from", "multirun", "--tracking-uri", "x"], "exclude each other"),
        (["--table", "table9"], "no table 'table9'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1

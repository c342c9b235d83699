from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gad_bench.base.errors import UserError
from gad_bench.report.page import write_report
from gad_bench.report.report import Request, make_report, named_layouts


def test_runs_of_an_experiment_show_its_own_table_first(runs_of: Any) -> None:
    runs = runs_of([(0.9,), (0.8,), (0.7,)], covariance="oas", experiment="table1")
    report = make_report(runs, Request(where={}), "here")
    assert [table.layout.name for table in report.tables] == ["table1", "per_category", "per_block"]


def test_other_runs_show_categories_and_blocks_by_what_varies(runs_of: Any) -> None:
    runs = runs_of([(0.9,), (0.8,), (0.7,)], covariance="oas", backbone="small")
    runs += runs_of([(0.9,), (0.8,), (0.7,)], covariance="oas", backbone="large")
    report = make_report(runs, Request(where={}), "here")
    assert [table.layout.columns for table in report.tables] == [("backbone",)] * 2
    assert [table.layout.rows for table in report.tables] == [("category",), ("block",)]


def test_any_two_keys_make_a_table(runs_of: Any) -> None:
    runs = runs_of([(0.9, 0.8)] * 3, covariance="oas", reduction="pca", reduction__threshold="0.95")
    axes = ("reduction+reduction.threshold", "fold")
    first = make_report(runs, Request(axes=axes, where={}), "here").tables[0]
    assert first.rows == [("pca", "0.95")]
    assert first.columns == [("0",), ("1",)]


def test_repeated_runs_are_said_once(runs_of: Any) -> None:
    runs = runs_of([(0.9,), (0.8,), (0.7,)], covariance="oas") * 2
    report = make_report(runs, Request(where={}), "here")
    assert report.repeated_text == "3 finished runs repeat a job: of each, the newest counts."
    assert len(report.runs) == 3


def test_an_unknown_table_is_refused_by_name(runs_of: Any) -> None:
    runs = runs_of([(0.9,), (0.8,), (0.7,)], covariance="oas")
    with pytest.raises(UserError, match="no table 'table9': choose from per_category"):
        make_report(runs, Request(table="table9", where={}), "here")


def test_each_experiment_of_the_paper_has_its_table() -> None:
    paper = {"table1", "table2", "table3", "table4", "table5", "table7"}
    assert paper | {"working_points", "contamination", "estimators"} <= set(named_layouts())


def test_every_table_is_written_in_three_formats_beside_the_page(
    runs_of: Any, tmp_path: Path
) -> None:
    runs = runs_of([(0.9,), (0.8,), (0.7,)], covariance="oas")
    page = write_report(make_report(runs, Request(where={}), "here"), tmp_path / "report")
    names = [
        f"{table}.{s}" for table in ("per_block", "per_category") for s in ("csv", "md", "tex")
    ]
    assert {path.name for path in page.parent.iterdir()} == {
        *names,
        "per_category_dots.png",
        "report.html",
        ".report",
    }

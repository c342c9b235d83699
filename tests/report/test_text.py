from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from gad_bench.report.frame import Status, long_frame
from gad_bench.report.tables import Layout, Table, fill
from gad_bench.report.text import row_text, to_csv, to_latex, to_markdown

ESTIMATORS = Layout(name="t", title="A & B", rows=("covariance",), columns=("backbone",))


@pytest.fixture
def table(runs_of: Any, run_of: Any) -> Table:
    keys = {"backbone": "small_one"}
    runs = runs_of([(0.90, 0.92), (0.80, None), (0.70, 0.74)], covariance="oas", **keys)
    runs += runs_of([(0.5,), (0.6,), ()], covariance="identity", **keys)
    runs.append(run_of("bolt", 0, status=Status.FAILED, covariance="mcd", **keys))
    return fill(ESTIMATORS, long_frame(runs))


def test_markdown_gives_mean_and_sem_and_says_what_lacks(table: Table) -> None:
    lines = to_markdown(table).splitlines()
    assert lines[0] == "**A & B**"
    assert lines[2] == (
        "AUROC in %: mean ± SEM over 3 categories, folds averaged first. "
        "7 of 9 runs (1 failed, 1 missing)."
    )
    assert lines[4:9] == [
        "| covariance | small_one |",
        "| --- | ---: |",
        "| oas | 81.0 ± 5.5 (5 of 6) |",
        "| identity | 55.0 ± 5.0 |",
        "| mcd | failed (0 of 1, 1 failed) |",
    ]
    assert lines[-2:] == [
        "- nut, fold 1, oas, small_one: missing, why",
        "- bolt, fold 0, mcd, small_one: failed, why",
    ]


def test_csv_has_a_line_a_cell_with_its_counts(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["covariance"] for row in rows] == ["oas", "identity", "mcd"]
    assert float(rows[0]["mean"]) == pytest.approx(81)
    assert float(rows[0]["sem"]) == pytest.approx((91 / 3) ** 0.5)
    counts = ("categories", "finished", "failed", "missing", "expected")
    assert [rows[0][key] for key in counts] == ["3", "5", "0", "1", "6"]
    assert [rows[2][key] for key in ("mean", "finished", "failed")] == ["", "0", "1"]


def test_latex_escapes_and_says_what_lacks(table: Table) -> None:
    latex = to_latex(table)
    assert r"\caption{A \& B. AUROC in \%: mean $\pm$ SEM over 3 categories" in latex
    assert r"covariance & small\_one \\" in latex
    assert r"oas & 81.0 $\pm$ 5.5 (5 of 6) \\" in latex
    assert latex.count(r"\begin") == latex.count(r"\end") == 2


def test_latex_runs_nothing_that_a_name_holds(run_of: Any) -> None:
    name = r"\input{/etc/passwd} 50% ~^"
    latex = to_latex(
        fill(ESTIMATORS, long_frame([run_of("bolt", 0, 0.5, covariance=name, backbone="b")]))
    )
    assert r"\input" not in latex
    assert (
        r"\textbackslash{}input\{/etc/passwd\} 50\% \textasciitilde{}\textasciicircum{} & 50.0"
        in latex
    )


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1"])
def test_csv_holds_no_formula(run_of: Any, name: str) -> None:
    table = fill(ESTIMATORS, long_frame([run_of("bolt", 0, 0.5, covariance=name, backbone="b")]))
    (row,) = csv.DictReader(io.StringIO(to_csv(table)))
    assert row["covariance"] == f"'{name}"


@pytest.mark.parametrize("name", ["-0.5", "-1e-05", "oas", "3"])
def test_csv_leaves_numbers_and_names_as_they_are(run_of: Any, name: str) -> None:
    table = fill(ESTIMATORS, long_frame([run_of("bolt", 0, 0.5, covariance=name, backbone="b")]))
    (row,) = csv.DictReader(io.StringIO(to_csv(table)))
    assert row["covariance"] == name


def test_each_key_of_the_rows_has_a_column(run_of: Any) -> None:
    layout = Layout(name="t", title="T", rows=("covariance", "block"), columns=("backbone",))
    run = run_of("bolt", metrics={"auroc_block_3": 0.5}, covariance="oas", backbone="b")
    assert "| covariance | block | b |\n| --- | --- | ---: |\n| oas | 3 | 50.0 |" in to_markdown(
        fill(layout, long_frame([run]))
    )


def test_a_number_in_a_rows_name_has_its_key(run_of: Any) -> None:
    layout = Layout(name="t", title="T", rows=("seed", "covariance"), columns=("backbone",))
    run = run_of("bolt", 0, 0.5, covariance="oas", seed="3", backbone="b")
    table = fill(layout, long_frame([run]))
    assert row_text(table, table.rows[0]) == "seed 3 oas"


def test_a_quantity_that_is_no_share_is_printed_as_it_is(run_of: Any) -> None:
    layout = Layout(
        name="t",
        title="T",
        rows=("covariance",),
        columns=("backbone",),
        where={"metric": ["seconds_fit"]},
    )
    run = run_of("bolt", metrics={"seconds_fit": 0.12345}, covariance="oas", backbone="b")
    assert "| oas | 0.123 |" in to_markdown(fill(layout, long_frame([run])))


def test_the_published_figure_stands_beside_ours_with_the_difference(run_of: Any) -> None:
    keys = {
        "dataset.name": "mvtec_ad",
        "backbone": "efficientnet-b4",
        "augmentation": "none",
        "reduction": "none",
        "covariance": "ledoit_wolf",
        "detector": "gaussian",
        "combination": "mean",
        "contamination": "0.0",
        "normalisation._target_": "gad_bench.gaussian.normalisation.NoNormalisation",
        "fold._target_": "gad_bench.data.split.KFold",
        "fold.n_splits": "5",
    }
    runs = [
        run_of(str(number), 0, metrics={"auroc_block_6": 0.96}, **_identifiers(keys))
        for number in range(15)
    ]
    layout = Layout(name="t", title="T", rows=("block",), columns=("covariance",))
    table = fill(layout, long_frame(runs))
    assert "| 6 | 96.0 ± 0.0 [96.7 ± 1.0, −0.7] |" in to_markdown(table)  # noqa: RUF001
    (row,) = csv.DictReader(io.StringIO(to_csv(table)))
    assert (row["published"], row["published_sem"]) == ("96.7", "1.0")
    assert float(row["difference"]) == pytest.approx(-0.7)
    assert row["published_in"] == "rippel2020 I"


def _identifiers(keys: dict[str, str]) -> dict[str, str]:
    return {key.replace(".", "__"): value for key, value in keys.items()}

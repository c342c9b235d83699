from __future__ import annotations

import math
from typing import Any

import pytest

from gad_bench.base.errors import UserError
from gad_bench.report.frame import Run, Status, long_frame
from gad_bench.report.tables import Layout, Table, fill
from gad_bench.report.text import lacking_text

CATEGORIES = Layout(name="t", title="T", rows=("category",), columns=("covariance",))
ESTIMATORS = Layout(name="t", title="T", rows=("covariance",), columns=("dataset",))


def filled(layout: Layout, runs: list[Run]) -> Table:
    return fill(layout, long_frame(runs))


def only_cell(layout: Layout, runs: Any) -> Any:
    (cell,) = filled(layout, runs).cells.itertuples()
    return cell


def test_folds_are_averaged_in_a_category_first_then_categories(runs_of: Any) -> None:
    # 91, 80 and 72: mean 81, deviations 10, -1, -9, variance (100 + 1 + 81) / 2 = 91.
    runs = runs_of([(0.90, 0.92), (0.80,), (0.70, 0.72, 0.74)], covariance="identity")
    cell = only_cell(ESTIMATORS, runs)
    by_category = filled(CATEGORIES, runs).cells
    assert [row for (row,) in by_category["row"]] == ["bolt", "nut", "washer"]
    assert list(by_category["mean"]) == pytest.approx([91, 80, 72])
    assert cell.mean == pytest.approx(81)
    assert cell.sem == pytest.approx(math.sqrt(91 / 3))
    assert cell.complete


def test_one_category_has_a_mean_and_no_standard_error(run_of: Any) -> None:
    cell = only_cell(ESTIMATORS, [run_of("bolt", 0, 0.8, covariance="identity")])
    assert cell.mean == pytest.approx(80)
    assert math.isnan(cell.sem)


def test_a_missing_and_a_failed_run_are_counted_where_they_lack(run_of: Any, runs_of: Any) -> None:
    runs = runs_of([(0.9, 0.9), (0.8, None), (0.7,)], covariance="identity")
    runs.append(run_of("washer", 1, status=Status.FAILED, covariance="identity"))
    cell = only_cell(ESTIMATORS, runs)
    assert (cell.finished, cell.expected) == (4, 6)
    assert lacking_text(cell) == "4 of 6, 1 failed"
    assert cell.mean == pytest.approx((90 + 80 + 70) / 3)
    table = filled(CATEGORIES, runs)
    lacking = {row[0]: lacking_text(table.cell(row, ("identity",))) for row in table.rows}
    assert lacking == {"bolt": "", "nut": "1 of 2", "washer": "1 of 2, 1 failed"}
    assert table.count_text == "4 of 6 runs (1 failed, 1 missing)"


def test_a_cell_without_any_finished_run_has_no_number(runs_of: Any) -> None:
    runs = runs_of([(0.9,), (0.8,), (0.7,)], covariance="identity")
    runs += runs_of([(None,), (None,), (None,)], covariance="oas")
    table = filled(ESTIMATORS, runs)
    assert math.isnan(table.cell(("oas",), ("demo",)).mean)
    assert lacking_text(table.cell(("oas",), ("demo",))) == "0 of 3"


def test_blocks_make_rows_in_the_order_of_their_numbers_and_all_last(run_of: Any) -> None:
    metrics = {"auroc": 0.9, "auroc_block_10": 0.5, "auroc_block_2": 0.6, "aupr": 0.1}
    layout = Layout(name="t", title="T", rows=("block",), columns=("dataset",))
    table = filled(layout, [run_of("bolt", metrics=metrics)])
    assert table.rows == [("2",), ("10",), ("all",)]
    assert table.cell(("10",), ("demo",)).mean == pytest.approx(50)


def test_a_failed_run_lacks_in_each_block_that_its_setting_has(run_of: Any) -> None:
    layout = Layout(name="t", title="T", rows=("backbone",), columns=("block",))
    runs = [
        run_of("bolt", metrics={"auroc": 0.9, "auroc_block_0": 0.5}, backbone="small"),
        run_of("nut", status=Status.FAILED, backbone="small"),
        run_of("bolt", metrics={"auroc": 0.9, "auroc_block_7": 0.5}, backbone="large"),
    ]
    table = filled(layout, runs)
    assert lacking_text(table.cell(("small",), ("0",))) == "1 of 2, 1 failed"
    assert table.cell(("small",), ("7",)) is None
    assert table.cell(("large",), ("7",)).complete


def test_a_setting_that_failed_altogether_lacks_in_every_column(run_of: Any) -> None:
    layout = Layout(name="t", title="T", rows=("backbone",), columns=("block",))
    runs = [
        run_of("bolt", metrics={"auroc": 0.9, "auroc_block_0": 0.5}, backbone="small"),
        run_of("bolt", status=Status.FAILED, backbone="large"),
    ]
    table = filled(layout, runs)
    assert [lacking_text(table.cell(("large",), column)) for column in table.columns] == [
        "0 of 1, 1 failed"
    ] * 2


def test_rates_at_sigma_are_an_axis(run_of: Any) -> None:
    metrics = {"fpr_sigma_1_block_0": 0.3, "tpr_sigma_1_block_0": 0.9, "fpr_sigma_2_block_0": 0.1}
    layout = Layout(
        name="t",
        title="T",
        rows=("block", "sigma"),
        columns=("metric",),
        where={"metric": ["fpr", "tpr"]},
    )
    table = filled(layout, [run_of("bolt", metrics=metrics | {"auroc": 0.5})])
    assert table.rows == [("0", "1"), ("0", "2")]
    assert table.cell(("0", "1"), ("tpr",)).mean == pytest.approx(90)


def test_settings_stand_for_the_keys_by_which_runs_differ(run_of: Any) -> None:
    layout = Layout(name="t", title="T", rows=("category",), columns=("settings",))
    runs = [
        run_of("bolt", 0, 0.7, reduction="pca", reduction__threshold="0.95", seed="0"),
        run_of("bolt", 0, 0.8, reduction="pca", reduction__threshold="0.99", seed="0"),
        run_of("bolt", 0, 0.9, reduction="none", seed="0"),
    ]
    table = filled(layout, runs)
    assert table.layout.columns == ("reduction", "reduction.threshold")
    assert table.columns == [("pca", "0.95"), ("pca", "0.99"), ("none", "")]


SETTINGS = Layout(name="t", title="T", rows=("category",), columns=("settings",))


def test_all_that_differs_is_named_not_only_what_tells_settings_apart(run_of: Any) -> None:
    runs = [
        run_of("bolt", 0, 0.7, covariance="oas", runtime="auto", runtime__precision="bfloat16"),
        run_of("bolt", 0, 0.8, covariance="identity", runtime="auto", runtime__precision="float32"),
    ]
    table = filled(SETTINGS, runs)
    assert table.columns == [("oas", "bfloat16"), ("identity", "float32")]


def test_a_choices_own_keys_are_not_named_unless_they_are_not_its_files(run_of: Any) -> None:
    torch = run_of("bolt", 0, 0.8, runtime="torch", runtime__precision="float32")
    plain = run_of("bolt", 0, 0.7, runtime="openvino", runtime__precision="float32")
    bfloat16 = run_of("bolt", 0, 0.7, runtime="openvino", runtime__precision="bfloat16")
    assert filled(SETTINGS, [torch, plain]).layout.columns == ("runtime",)
    assert filled(SETTINGS, [torch, bfloat16]).columns == [
        ("torch", "float32"),
        ("openvino", "bfloat16"),
    ]


def test_one_column_never_holds_two_settings(run_of: Any) -> None:
    runs = [
        run_of("bolt", 0, 0.7, covariance="oas"),
        run_of("nut", 0, 0.8, covariance="identity"),
    ]
    table = filled(SETTINGS, runs)
    assert table.columns == [("oas",), ("identity",)]


def test_a_full_fold_beside_a_numbered_one_is_named(run_of: Any) -> None:
    full = run_of("bolt", 0, 0.7, folds="full", covariance="oas")
    numbered = run_of("bolt", 0, 0.8, folds="kfold", covariance="identity", fold__n_splits="5")
    table = filled(CATEGORIES, [full, numbered])
    assert table.layout.columns == ("covariance", "folds")
    assert table.columns == [("oas", "full"), ("identity", "kfold")]


def test_what_differs_with_the_rows_is_named_in_the_rows(run_of: Any) -> None:
    runs = [
        run_of("bolt", 0, 0.7, covariance="oas", seed="0"),
        run_of("bolt", 0, 0.8, covariance="identity", seed="1"),
    ]
    assert filled(ESTIMATORS, runs).rows == [("oas", "0"), ("identity", "1")]


def test_runs_that_differ_in_another_key_are_not_averaged(run_of: Any) -> None:
    runs = [
        run_of("bolt", 0, 0.7, covariance="oas", contamination="0.0"),
        run_of("nut", 0, 0.8, covariance="oas", contamination="0.1"),
    ]
    with pytest.raises(UserError, match=r"differ in contamination: .* --where contamination=0.0"):
        filled(ESTIMATORS, runs)


def test_blocks_are_not_averaged_with_each_other(run_of: Any) -> None:
    layout = Layout(
        name="t", title="T", rows=("category",), columns=("dataset",), where={"block": ["0", "1"]}
    )
    run = run_of("bolt", metrics={"auroc_block_0": 0.5, "auroc_block_1": 0.6})
    with pytest.raises(UserError, match="differ in block"):
        filled(layout, [run])


def test_a_condition_chooses_runs_and_a_preference_only_where_they_differ(run_of: Any) -> None:
    runs = [
        run_of("bolt", 0, 0.7, covariance="oas", backbone="small"),
        run_of("bolt", 0, 0.8, covariance="oas", backbone="large"),
    ]
    where = Layout(**(vars(ESTIMATORS) | {"where": {"backbone": ["large"]}}))
    assert only_cell(where, runs).mean == pytest.approx(80)
    prefer = Layout(**(vars(ESTIMATORS) | {"prefer": {"backbone": ["small"]}}))
    assert only_cell(prefer, runs).mean == pytest.approx(70)
    assert only_cell(prefer, runs[1:]).mean == pytest.approx(80)


def test_categories_have_a_mean_below_them(runs_of: Any) -> None:
    runs = runs_of([(0.9, 0.92), (0.8,), (0.7, None)], covariance="identity")
    (cell,) = filled(CATEGORIES, runs).margin.itertuples()
    assert cell.column == ("identity",)
    assert cell.mean == pytest.approx((91 + 80 + 70) / 3)
    assert lacking_text(cell) == "4 of 5"
    assert filled(ESTIMATORS, runs).margin.empty


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ("covarianse",)}, "'covarianse': choose for example covariance"),
        ({"where": {"covariance": ["mcd"]}}, "no run has covariance=mcd: there are oas"),
        ({"where": {"metric": ["aupro"]}}, "no finished run has a metric of metric=aupro"),
    ],
)
def test_what_is_not_there_is_said_by_name(
    run_of: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        filled(Layout(**(vars(ESTIMATORS) | changes)), [run_of("bolt", 0, 0.7, covariance="oas")])


def test_a_sweep_of_which_nothing_finished_says_why(run_of: Any) -> None:
    with pytest.raises(UserError, match="none of 1 runs finished; the first: why"):
        filled(ESTIMATORS, [run_of("bolt", status=Status.FAILED, covariance="oas")])

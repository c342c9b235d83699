"""Ours beside the published figures: by which computation, how far, and what is not compared."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gad_bench.report.comparison import Comparison, compare, to_csv, to_markdown
from gad_bench.report.frame import long_frame
from gad_bench.report.published import figures
from gad_bench.report.report import Report, Request, make_report, named_layout
from gad_bench.report.tables import fill

CATEGORIES = sorted({f.category for f in figures() if f.table == "V" and f.category})
LEVELS = {"auroc_block_6": 0.970, "auroc_block_8": 0.921, "auroc": 0.948}
METHOD = {
    "dataset__name": "mvtec_ad",
    "backbone": "efficientnet-b4",
    "augmentation": "none",
    "reduction": "none",
    "covariance": "ledoit_wolf",
    "detector": "gaussian",
    "combination": "mean",
    "contamination": "0.0",
    "normalisation___target_": "gad_bench.gaussian.normalisation.NoNormalisation",
    "blocks__indices": "None",
    "fold___target_": "gad_bench.data.split.KFold",
    "fold__n_splits": "5",
    "experiment": "table1",
    "computation": "published",
}


def runs(
    run_of: Any,
    metrics: Mapping[str, float] = LEVELS,
    categories: Sequence[str] = CATEGORIES,
    **changes: str,
) -> list[Any]:
    keys = METHOD | changes
    return [run_of(category, 0, metrics=metrics, **keys) for category in categories]


def report_of(listed: Sequence[Any]) -> Report:
    return make_report(listed, Request(where={}), "here")


def comparison_of(listed: Sequence[Any]) -> Comparison:
    return the_comparison(compare(fill(named_layout("table1", {}), long_frame(listed))))


def the_comparison(made: Comparison | None) -> Comparison:
    assert made is not None
    return made


@pytest.fixture
def both(run_of: Any) -> Comparison:
    """Sound runs first: the published computation's are those that stand beside the figures."""
    better = {name: value + 0.01 for name, value in LEVELS.items()}
    return comparison_of([*runs(run_of, better, computation="sound"), *runs(run_of)])


def test_the_figures_own_computation_is_compared_first_and_the_other_beside_it(
    both: Comparison,
) -> None:
    assert both.computations == ["published", "sound"]
    assert [" | ".join(row) for row in both.rows] == [
        "block 6, ledoit_wolf | 96.7 ± 1.0 | table I | 97.0 ± 0.0 | +0.3 | 98.0 ± 0.0 | +1.3",
        "block 8, ledoit_wolf | 93.1 ± 1.7 | table I | 92.1 ± 0.0 | "
        "\N{MINUS SIGN}1.0 | 93.1 ± 0.0 | +0.0",
        "all, ledoit_wolf | 94.8 ± 1.6 | table I | 94.8 ± 0.0 | +0.0 | 95.8 ± 0.0 | +1.0",
    ]


def test_it_says_how_far_each_computation_is(both: Comparison) -> None:
    assert both.summary == [
        "published computation: 3 compared, 0.43 points apart on average, "
        "at most 1.0 (block 8, ledoit_wolf).",
        "sound computation: 3 compared, 0.77 points apart on average, "
        "at most 1.3 (block 6, ledoit_wolf).",
    ]


def test_the_csv_has_a_line_a_figure_and_computation(both: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(both))))
    assert [(line["place"], line["computation"]) for line in lines[:2]] == [
        ("block 6, ledoit_wolf", "published"),
        ("block 6, ledoit_wolf", "sound"),
    ]
    assert float(lines[1]["difference"]) == pytest.approx(1.3)
    assert lines[0]["published_in"] == "rippel2020 I"


def test_what_has_no_figure_is_counted_with_its_reason(run_of: Any) -> None:
    made = comparison_of([*runs(run_of), *runs(run_of, covariance="identity")])
    assert made.apart == {"no figure is known to us with covariance=identity": 3}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset__name": "demo"}, "the figures are of mvtec_ad, the runs of demo"),
        (
            {"augmentation": "paper", "augmentation__passes": "3"},
            "no figure is known to us with augmentation=paper",
        ),
        ({"categories": CATEGORIES[:13]}, "13 of 15 categories: without wood, zipper"),
        (
            {"categories": ["screw"]},
            "of single categories no figure is known to us, only the mean over 15",
        ),
        ({"metrics": {"auroc_block_9": 0.5}}, "no figure is known to us of block 9"),
        (
            {"blocks__indices": "[6]", "metrics": {"auroc": 0.5}},
            "a choice of blocks is combined: the figures are of all",
        ),
    ],
)
def test_each_reason_not_to_compare_is_told(
    run_of: Any, changes: dict[str, Any], reason: str
) -> None:
    made = comparison_of(runs(run_of, **({"metrics": {"auroc_block_6": 0.9}} | changes)))
    assert made.compared == []
    assert made.apart == {reason: 1}
    assert to_markdown(made).endswith(f"- 1 number is not compared: {reason}.\n")


def test_tables_of_which_no_figure_is_known_say_so(run_of: Any) -> None:
    changes = {"experiment": "table3", "reduction": "pca", "reduction__threshold": "0.9"}
    made = the_comparison(report_of(runs(run_of, **changes)).comparison)
    assert made.apart == {"no figure of the paper's table III is known to us": 3}


def test_runs_that_have_nothing_to_do_with_the_paper_are_not_compared(run_of: Any) -> None:
    assert report_of(runs(run_of, experiment="", dataset__name="demo")).comparison is None


def test_runs_from_before_there_was_a_choice_are_not_called_either(run_of: Any) -> None:
    assert comparison_of(runs(run_of, computation="")).computations == ["not told"]


def test_a_number_that_lacks_runs_has_no_difference(run_of: Any) -> None:
    listed = runs(run_of)
    made = comparison_of([*listed[1:], run_of(CATEGORIES[0], 0, **METHOD)])
    assert made.rows[0][3:] == ["97.0 ± 0.0", "14 of 15"]
    assert made.summary == ["published computation: no number is complete."]


def test_the_paper_s_table_iv_has_its_rates_and_auroc_by_variant(run_of: Any) -> None:
    variants = [
        ("b0", "pca", "0.99"),
        ("b0", "none", ""),
        ("b0", "npca", "0.99"),
        ("b4", "none", ""),
    ]
    rates = {f"{rate}_sigma_{n}_block_6": n / 10 for rate in ("fpr", "tpr") for n in range(1, 9)}
    metrics = rates | {"fpr_sigma_1_block_5": 0.0, "auroc_block_6": 0.9, "auroc": 0.8}
    listed = [
        run
        for backbone, reduction, threshold in variants
        for run in runs(
            run_of,
            metrics,
            experiment="table4",
            augmentation="paper",
            backbone=f"efficientnet-{backbone}",
            reduction=reduction,
            reduction__threshold=threshold,
        )
    ]
    table = report_of(listed).tables[0]
    names = ["efficientnet-b0 pca 0.99", "efficientnet-b0", "efficientnet-b0 npca 0.99"]
    assert [" ".join(filter(None, c)).replace(" none", "") for c in table.columns] == [
        *names,
        "efficientnet-b4",
    ]
    assert table.rows == [
        *(("6", str(n), rate) for n in range(1, 6) for rate in ("fpr", "tpr")),
        ("6", "", "auroc"),
    ]
    assert table.cell(("6", "3", "tpr"), table.columns[0]).mean == pytest.approx(30)


def test_both_computations_stand_side_by_side_and_their_values_are_not_named(run_of: Any) -> None:
    own = {
        name: {"computation": name, "computation__edge": edge, "reduction__edge": edge}
        for name, edge in (("sound", "varying"), ("published", "literal"))
    }
    listed = [run for keys in own.values() for run in runs(run_of, **keys)]
    assert report_of(listed).tables[0].columns == [
        ("ledoit_wolf", "sound"),
        ("ledoit_wolf", "published"),
    ]


def test_a_value_set_by_hand_is_named_beside_the_computation(run_of: Any) -> None:
    plain = runs(run_of, computation="sound", covariance__precision="float64")
    by_hand = runs(run_of, computation="sound", covariance__precision="float32")
    table = report_of([*plain, *by_hand]).tables[0]
    assert table.layout.columns == ("covariance", "covariance.precision")

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import Any

import pytest

from gad_bench.report.frame import long_frame, measure
from gad_bench.report.published import Published, catalogue, figures
from gad_bench.report.tables import Cell, Layout, fill

GROUPS = {
    "dataset.name": "mvtec_ad",
    "backbone": "efficientnet-b4",
    "augmentation": "none",
    "reduction": "none",
    "covariance": "ledoit_wolf",
    "detector": "gaussian",
    "combination": "mean",
    "contamination": "0.0",
    "normalisation._target_": "gad_bench.gaussian.normalisation.NoNormalisation",
    "blocks.indices": "None",
    "fold._target_": "gad_bench.data.split.KFold",
    "fold.n_splits": "5",
}
CATEGORIES = [f.category for f in figures() if f.table == "V" and f.category]


def cell(
    run_of: Any, categories: list[str], name: str = "auroc", lacking: str = "", **changes: str
) -> Cell:
    """The only cell of a table over categories, in all of which but one the metric is 0.9."""
    keys = {key.replace(".", "__"): value for key, value in GROUPS.items()} | changes
    runs = [
        run_of(category, 0, metrics={} if category == lacking else {name: 0.9}, **keys)
        for category in categories
    ]
    where = {key: [value] for key, value in measure(name)._asdict().items() if value}
    layout = Layout(name="t", title="T", rows=("backbone",), columns=("covariance",), where=where)
    table = fill(layout, long_frame(runs))
    return table.cell(table.rows[0], table.columns[0])


def the_figure(found: Published | None) -> Published:
    assert found is not None
    return found


def test_the_figures_are_complete() -> None:
    counts = {table: sum(f.table == table for f in figures()) for table in ("I", "II", "V", "VIII")}
    assert counts == {"I": 10, "II": 80, "V": 16, "VIII": 16}
    assert sum(figure.source == "byungjae89" for figure in figures()) == 16


@pytest.mark.parametrize("table", ["V", "VIII", "README"])
def test_a_tables_mean_is_the_mean_of_its_categories(table: str) -> None:
    own = [figure for figure in figures() if figure.table == table]
    values = [figure.auroc for figure in own if figure.category]
    (mean,) = [figure for figure in own if not figure.category]
    assert len(values) == 15
    assert fmean(values) == pytest.approx(mean.auroc, abs=0.06)
    if mean.sem:
        assert stdev(values) / 15**0.5 == pytest.approx(mean.sem, abs=0.06)


def test_tables_one_and_two_agree_on_b4() -> None:
    one = {f.block: (f.auroc, f.sem) for f in figures() if f.table == "I"}
    two = {
        f.block: (f.auroc, f.sem)
        for f in figures()
        if f.table == "II" and f.settings["backbone"] == "efficientnet-b4"
    }
    assert one == two


def test_a_block_is_compared_with_its_level(run_of: Any) -> None:
    ours = cell(run_of, CATEGORIES, "auroc_block_6")
    figure = the_figure(ours.published)
    assert (figure.auroc, figure.sem) == (96.7, 1.0)
    assert ours.difference == pytest.approx(-6.7)


def test_a_category_is_compared_with_its_own_figure(run_of: Any) -> None:
    augmented = {
        "augmentation": "paper",
        "augmentation__passes": "100",
        "reduction": "npca",
        "reduction__threshold": "0.99",
    }
    assert the_figure(cell(run_of, ["screw"], **augmented).published).auroc == 85.2
    assert the_figure(cell(run_of, CATEGORIES, **augmented).published).auroc == 95.8


def test_the_whole_training_set_is_compared_with_the_reimplementation(run_of: Any) -> None:
    full = {"fold___target_": "gad_bench.data.split.Full", "fold__n_splits": ""}
    figure = the_figure(cell(run_of, ["screw"], **full).published)
    assert (figure.source, figure.auroc) == ("byungjae89", 78.1)


@pytest.mark.parametrize(
    ("detector", "backbone", "metric", "categories", "expected"),
    [
        ("padim", "resnet-18", "auroc", CATEGORIES, ("anomalib_padim", 89.1)),
        ("padim", "wide-resnet-50-2", "pixel_auroc", CATEGORIES, ("anomalib_padim", 97.9)),
        ("patchcore_anomalib", "resnet-18", "auroc", ["toothbrush"], ("anomalib_patchcore", 93.1)),
        ("patchcore", "wide-resnet-50-2", "auroc", CATEGORIES, ("roth2022", 99.1)),
        ("dfm", "resnet-18", "auroc", CATEGORIES, ("anomalib_dfm", 93.6)),
    ],
)
def test_a_method_is_compared_with_its_own_figure(
    run_of: Any,
    detector: str,
    backbone: str,
    metric: str,
    categories: list[str],
    expected: tuple[str, float],
) -> None:
    whole = {"fold___target_": "gad_bench.data.split.Full", "fold__n_splits": ""}
    share = {"detector__blocks": "[2, 3]", "detector__share": "0.1", "blocks__indices": "[2, 3]"}
    method = {"detector": detector, "backbone": backbone, **whole, **share}
    ours = cell(run_of, categories, metric, **method)
    figure = the_figure(ours.published)
    assert (figure.source, figure.auroc) == expected
    assert ours.difference == pytest.approx(90 - expected[1])
    assert cell(run_of, categories, "aupro", **method).published is None


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset__name": "folder"},
        {"covariance": "oas"},
        {"contamination": "0.1"},
        {"reduction": "pca"},
        {"augmentation": "paper", "augmentation__passes": "3"},
        {"blocks__indices": "[6]"},
        {"fold__n_splits": "3"},
    ],
)
def test_other_settings_are_not_compared(run_of: Any, changes: dict[str, str]) -> None:
    assert cell(run_of, CATEGORIES, **changes).published is None


def test_fewer_categories_and_other_metrics_are_not_compared(run_of: Any) -> None:
    assert cell(run_of, CATEGORIES[:14]).published is None
    assert cell(run_of, CATEGORIES, "aupr").published is None


def test_a_cell_that_lacks_runs_has_no_difference(run_of: Any) -> None:
    ours = cell(run_of, CATEGORIES, lacking="bottle")
    assert the_figure(ours.published).table == "I"
    assert math.isnan(ours.difference)


def test_each_figure_has_a_source() -> None:
    for figure in figures():
        assert catalogue()["sources"][figure.source]["cite"]

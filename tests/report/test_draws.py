"""AUROC against the share of anomalous training images, and against the number of good ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from gad_bench.report.draws import spread, words_of_draws
from gad_bench.report.plots import draw_table
from gad_bench.report.report import Request, make_report
from gad_bench.report.tables import Table

# Estimator and draw -> AUROC of two folds of two categories, by share.
AUROC: Mapping[tuple[str, str], Mapping[str, list[list[float]]]] = {
    ("ledoit_wolf", "0"): {"0.0": [[0.9, 0.9], [0.8, 0.8]], "0.2": [[0.8, 0.6], [0.6, 0.6]]},
    ("ledoit_wolf", "1"): {"0.0": [[0.9, 0.9], [0.8, 0.8]], "0.2": [[0.9, 0.7], [0.8, 0.8]]},
    ("oas", "0"): {"0.0": [[0.7, 0.7], [0.7, 0.7]], "0.2": [[0.6, 0.6], [0.6, 0.6]]},
    ("oas", "1"): {"0.0": [[0.7, 0.7], [0.7, 0.7]], "0.2": [[0.5, 0.5], [0.5, 0.5]]},
}


@pytest.fixture
def table_of(run_of: Any) -> Any:
    def make(largest: str = "0.2", draws: tuple[str, ...] = ("0", "1")) -> Table:
        runs = [
            run_of(
                category,
                fold,
                auroc,
                covariance=covariance,
                seed=seed,
                contamination=share,
                largest_contamination=largest,
                experiment="contamination",
            )
            for (covariance, seed), shares in AUROC.items()
            for share, values in shares.items()
            for category, folds in zip(("bolt", "nut"), values, strict=True)
            for fold, auroc in enumerate(folds)
            if seed in draws
        ]
        return make_report(runs, Request(where={}), "here").tables[0]

    return make


def test_each_estimator_is_a_column_and_draws_are_averaged_as_folds_are(table_of: Any) -> None:
    table = table_of()
    assert table.layout.name == "contamination"
    assert table.rows == [("0.0",), ("0.2",)]
    assert table.columns == [("ledoit_wolf",), ("oas",)]
    # Of the two categories: 75 and 70.
    assert table.cell(("0.2",), ("ledoit_wolf",)).mean == pytest.approx(72.5)
    assert table.cell(("0.2",), ("ledoit_wolf",)).complete


def test_the_spread_is_that_of_the_draws_and_not_of_the_categories(table_of: Any) -> None:
    points = spread(table_of(), ("ledoit_wolf",))
    assert list(points.index) == [0.0, 0.2]
    # Draws: 65 and 80; their standard deviation is 15 / sqrt(2).
    assert points["mean"].tolist() == pytest.approx([85, 72.5])
    assert points["deviation"].tolist() == pytest.approx([0, 15 / 2**0.5])


def test_one_draw_has_no_spread(table_of: Any) -> None:
    assert spread(table_of(draws=("0",)), ("oas",))["deviation"].tolist() == [0, 0]


def test_the_picture_has_a_line_an_estimator_and_says_what_was_tested(table_of: Any) -> None:
    (picture,) = draw_table(table_of())
    assert picture.name == "contamination_shares"
    names = [text.get_text() for text in picture.plot.axes[0].get_legend().get_texts()]
    assert names == ["ledoit_wolf", "oas"]
    assert "2 draws" in picture.words
    assert picture.words.endswith("All shares of a draw are scored on the same test images.")
    assert "with largest_contamination=" in words_of_draws(table_of(largest="None"))


def test_settings_that_differ_in_more_than_the_draw_stay_apart(run_of: Any) -> None:
    keys = {"contamination": "0.0", "experiment": "contamination"}
    runs = [
        run_of("bolt", 0, 0.9, seed=seed, covariance=covariance, **keys)
        for seed, covariance in (("0", "oas"), ("1", "oas"), ("1", "identity"))
    ]
    table = make_report(runs, Request(where={}), "here").tables[0]
    assert [table.cell(("0.0",), column).expected for column in table.columns] == [2, 1]


SHOTS: Mapping[str, Mapping[str, list[float | None]]] = {  # detector -> shots -> AUROC by draw
    "gaussian": {"1": [None, None], "4": [0.7, 0.8], "None": [0.9, 0.9]},
    "patchcore": {"1": [0.8, 0.84], "4": [0.88, 0.9], "None": [0.895, 0.895]},
}


@pytest.fixture
def shots(run_of: Any) -> Table:
    runs = [
        run_of("bolt", 0, auroc, detector=detector, shots=number, seed=str(seed))
        for detector, numbers in SHOTS.items()
        for number, draws in numbers.items()
        for seed, auroc in enumerate(draws)
    ]
    return make_report(runs, Request(table="shots", where={}), "here").tables[0]


def test_all_images_stand_after_the_largest_number(shots: Table) -> None:
    assert shots.rows == [("1",), ("4",), ("all",)]
    (picture,) = draw_table(shots)
    ticks = [text.get_text() for text in picture.plot.axes[0].get_xticklabels()]
    assert ticks == ["1", "4", "all"]


def test_the_words_name_the_fewest_images_that_suffice_and_what_has_no_answer(
    shots: Table,
) -> None:
    (picture,) = draw_table(shots)
    assert picture.words.endswith(
        " gaussian: all images are the fewest within 1 percentage point of all images, and no "
        "answer with 1. patchcore: 4 images are the fewest within 1 percentage point of all images."
    )


def test_a_number_that_some_draws_lack_is_told(run_of: Any) -> None:
    runs = [
        run_of("bolt", 0, auroc, shots=number, seed=seed)
        for number, seed, auroc in (("2", "0", 0.7), ("2", "1", None), ("4", "0", 0.8))
    ]
    table = make_report(runs, Request(table="shots", where={}), "here").tables[0]
    points = spread(table, table.columns[0])
    assert points["complete"].tolist() == [False, True]
    assert pd.notna(points["mean"]).all()
    assert draw_table(table)[0].words.endswith("Hollow points lack runs.")

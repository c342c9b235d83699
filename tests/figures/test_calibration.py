from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from held_out_scores import BOTH, GOOD, fold, rows
from matplotlib.axes import Axes
from readable import assert_readable

from gad_bench.evaluation import Scores
from gad_bench.figures.calibration import PROMISED, calibration_panels, draw_panels


def titles(*folds: Scores, methods: tuple[str, ...] = ("gaussian", "conformal")) -> list[str]:
    threshold = replace(BOTH, methods=[*methods])
    return [panel.title for panel in calibration_panels(threshold, folds, rows(*folds))]


def line(axes: Axes, name: str) -> np.ndarray:
    (found,) = [line for line in axes.lines if str(line.get_label()).startswith(name)]
    return np.asarray(found.get_ydata())


def test_each_score_with_a_promise_has_its_panel() -> None:
    scores = fold()
    assert titles(scores) == ["blocks combined", "block 2, the best on this test set"]
    assert titles(scores, methods=("conformal",)) == ["blocks combined"]
    assert titles(scores, methods=("gaussian",)) == ["block 2, the best on this test set"]
    assert titles(replace(scores, held_out=None)) == ["block 2, the best on this test set"]
    assert titles(replace(scores, held_out=None, dimensions={})) == []


def test_the_lines_are_the_measured_rates() -> None:
    scores = replace(fold(), samples={2: 12})
    panels = calibration_panels(BOTH, [scores], rows(scores))
    combined, block = draw_panels(panels, 0.1).axes
    assert scores.held_out is not None
    good = scores.combined[:GOOD]
    p_values = (1 + (scores.held_out.combined[:, None] >= good).sum(axis=0)) / 40
    expected = (p_values[:, None] <= PROMISED).mean(axis=0)
    np.testing.assert_allclose(line(combined, "conformal, 39 held out"), expected)
    corrected, plain = line(block, "Gaussian (F)"), line(block, "Gaussian (chi-square)")
    assert (corrected <= plain).all()
    assert (corrected < plain).any()


def test_folds_are_drawn_as_one_with_the_band_of_one_test_set() -> None:
    folds = [fold(number) for number in range(3)]
    combined, block = calibration_panels(BOTH, folds, rows(*folds))
    assert block.calibration is None
    assert [curve.name for curve in block.curves] == [
        "cross-conformal, 117 held out",
        "Gaussian (chi-square)",
    ]
    assert {curve.images for panel in (combined, block) for curve in panel.curves} == {GOOD}
    assert len(block.curves[1].p_values) == 3 * GOOD


def test_an_only_fold_is_drawn_by_the_further_fits_that_calibrate_it() -> None:
    further, alone = [fold(number) for number in range(3)], replace(fold(), held_out=None)
    combined, block = calibration_panels(BOTH, [alone], rows(alone), further)
    assert combined.curves[0].name == "cross-conformal, 117 held out"
    assert [curve.images for curve in block.curves] == [GOOD, GOOD]


def test_without_good_test_images_nothing_is_drawn() -> None:
    scores = fold()
    assert titles(replace(scores, labels=np.ones_like(scores.labels))) == []


@pytest.mark.parametrize("held_out", [1, 39])
def test_the_range_of_split_conformal_is_drawn_about_its_promise(held_out: int) -> None:
    scores = fold(held_out=held_out)
    axes = draw_panels(calibration_panels(BOTH, [scores], rows(scores)), 0.1).axes[0]
    low, high = (np.asarray(line.get_ydata()) for line in axes.lines[1:3])
    assert (low <= high).all()
    half = np.searchsorted(PROMISED, 0.5)
    assert low[half] < 0.5 < high[half]


def test_the_worst_case_of_cross_conformal_is_drawn_above_its_promise() -> None:
    folds = [fold(number) for number in range(3)]
    axes = draw_panels(calibration_panels(BOTH, folds, rows(*folds)), 0.1).axes[0]
    worst = line(axes, "bound that always holds")
    np.testing.assert_allclose(worst, np.minimum(1, 2 * (PROMISED * 118 + 2) / 120))


def test_the_figure_can_be_read() -> None:
    folds = [replace(fold(number), samples={2: 12}) for number in range(2)]
    assert_readable(draw_panels(calibration_panels(BOTH, folds, rows(*folds)), 0.05))
    alone = fold()
    assert_readable(draw_panels(calibration_panels(BOTH, [alone], rows(alone))[:1], 0.05))

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from readable import assert_readable

from gad_bench.evaluation import Scores, evaluate
from gad_bench.figures.curves import (
    draw_blocks,
    draw_curves,
    draw_histogram,
)


def stretched(scores: Scores, power: int = 2) -> Scores:
    """The same order, the anomalous images' scores far out."""
    blocks = {
        block: values ** (1 + power * scores.labels) for block, values in scores.blocks.items()
    }
    return replace(scores, blocks=blocks, combined=np.mean(list(blocks.values()), axis=0))


def test_the_areas_under_the_curves_are_the_metrics(scores: Scores) -> None:
    metrics = evaluate(scores, seed=0)
    figure = draw_curves(scores, metrics)
    roc, recall = (axes.lines[0] for axes in figure.axes)
    assert np.trapezoid(roc.get_ydata(), roc.get_xdata()) == pytest.approx(metrics["auroc"])
    steps = np.diff(recall.get_xdata()) * recall.get_ydata()[1:]
    assert recall.get_drawstyle() == "steps-pre"
    assert steps.sum() == pytest.approx(metrics["aupr"])
    assert_readable(figure)


@pytest.mark.parametrize("power", [0, 2, 6, 12, 40])
def test_histograms_can_be_read(power: int, scores: Scores) -> None:
    scores = stretched(scores, power)
    assert_readable(draw_histogram(scores, evaluate(scores, seed=0)))


def test_a_histogram_counts_every_image_once(scores: Scores) -> None:
    figure = draw_histogram(scores, evaluate(scores, seed=0))
    for axes in figure.axes:
        for patch in axes.patches:
            corners = patch.get_xy()
            widths, heights = np.diff(corners[:, 0]), corners[1:, 1]
            bin_width = np.min(np.abs(widths[widths != 0]))
            assert (widths * heights)[widths > 0].sum() / bin_width == pytest.approx(10)


def test_scores_far_out_are_drawn_on_a_logarithmic_axis(scores: Scores) -> None:
    metrics = evaluate(scores, seed=0)
    assert draw_histogram(scores, metrics).axes[0].get_xscale() == "linear"
    assert draw_histogram(stretched(scores), metrics).axes[0].get_xscale() == "log"


def test_scores_that_are_negative_or_all_alike_are_drawn(scores: Scores) -> None:
    for values in (scores.combined - 100, np.ones(20)):
        changed = replace(scores, combined=values, blocks={2: values, 5: values})
        assert_readable(draw_histogram(changed, evaluate(changed, seed=0)))


def test_thresholds_in_sight_are_drawn_for_the_best_block(scores: Scores) -> None:
    metrics = evaluate(scores, seed=0)
    combined, single = draw_histogram(scores, metrics).axes
    assert not combined.lines
    low, high = single.get_xlim()
    assert single.lines
    assert all(low < line.get_xdata()[0] < high for line in single.lines)
    assert not draw_histogram(replace(scores, dimensions={}), metrics).axes[1].lines


@pytest.mark.parametrize("blocks", [1, 6, 24])
def test_blocks_are_drawn_with_their_auroc_and_all_with_its_interval(blocks: int) -> None:
    metrics = {f"auroc_block_{block}": block / blocks for block in range(blocks)}
    metrics |= {"auroc": 0.9, "auroc_ci_low": 0.85, "auroc_ci_high": 1.0}
    figure = draw_blocks(metrics, range(blocks))
    (axes,) = figure.axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([*(100 * block / blocks for block in range(blocks)), 90])
    assert [text.get_text() for text in axes.texts] == [f"{height:.1f}" for height in heights]
    assert_readable(figure)

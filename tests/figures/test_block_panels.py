from __future__ import annotations

import numpy as np
import pytest

from gad_bench.evaluation import Scores, evaluate
from gad_bench.evaluation.metrics import auroc
from gad_bench.figures.block_panels import RIGHT, draw_block_panels


def scores_of(blocks: int) -> Scores:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [12, 9])
    values = {
        block: np.abs(generator.normal(size=21)) + 1 + block * labels for block in range(blocks)
    }
    values[0] = np.append(values[0][:-1], 500.0)  # far out: its axis is logarithmic
    return Scores(
        labels=labels,
        defects=["good"] * 12 + ["cut"] * 9,
        blocks=values,
        combined=values[0],
        dimensions={0: 4},
    )


@pytest.mark.parametrize("blocks", [2, 5, 9])
def test_every_block_has_its_roc_curve_and_its_scores(blocks: int) -> None:
    scores = scores_of(blocks)
    figure = draw_block_panels(scores, evaluate(scores, seed=0))
    for block, axes in zip(scores.blocks, figure.axes, strict=False):
        area = auroc(scores.labels, scores.blocks[block])
        assert axes.get_title("left") == f"block {block}: AUROC {100 * area:.1f} %"
        rates = axes.lines[2].get_xydata()
        assert np.trapezoid(rates[:, 1], rates[:, 0]) == pytest.approx(area)
        tops = [patch.get_data().values for patch in axes.patches]
        assert np.max(tops) == 1
        assert [top.sum() / tops[0].sum() for top in tops] == pytest.approx([1, 9 / 12])
    used = [bool(axes.patches) for axes in figure.axes]
    assert used == [True] * blocks + [False] * (len(used) - blocks)


def test_scores_and_thresholds_stand_where_the_axis_says() -> None:
    """A chi distribution of 4 degrees of freedom has 68.3 % below 2.17."""
    scores = scores_of(2)
    first, second = draw_block_panels(scores, evaluate(scores, seed=0)).axes[:2]
    low, middle, high = (text for text in first.texts if text.get_position()[1] < 0)
    assert high.get_text() == "500"
    assert high.get_position()[0] == RIGHT
    values = [float(text.get_text()) for text in (low, middle, high)]
    assert values[1] == pytest.approx(np.sqrt(values[0] * values[2]), rel=0.01)
    (lines,) = first.collections
    place = lines.get_segments()[0][0][0]
    ends = low.get_position()[0], RIGHT
    share = np.log(2.17 / values[0]) / np.log(values[2] / values[0])
    assert place == pytest.approx(ends[0] + share * (ends[1] - ends[0]), abs=0.02)
    assert not second.collections

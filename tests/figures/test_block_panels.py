from __future__ import annotations

from typing import TypeVar

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from readable import assert_readable

from gad_bench.evaluation import Scores, evaluate
from gad_bench.evaluation.metrics import auroc
from gad_bench.figures.block_panels import RIGHT, draw_block_panels

T = TypeVar("T", bound=Artist)


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


def artists_of(figure: Figure, block: int, kind: type[T]) -> list[T]:
    """A panel's artists share its place on the figure, in the order of the blocks."""
    titles = [text for text in figure.texts if text.get_text().startswith(f"block {block}:")]
    place = titles[0].get_transform()
    found = figure.findobj(lambda artist: isinstance(artist, kind))
    return [artist for artist in found if artist._transform == place]


@pytest.mark.parametrize("blocks", [2, 5, 9])
def test_every_block_has_its_roc_curve_and_its_scores(blocks: int) -> None:
    scores = scores_of(blocks)
    figure = draw_block_panels(scores, evaluate(scores, seed=0))
    for block in scores.blocks:
        area = auroc(scores.labels, scores.blocks[block])
        title, *_ = artists_of(figure, block, Text)
        assert title.get_text() == f"block {block}: AUROC {100 * area:.1f} %"
        rates = artists_of(figure, block, Line2D)[2].get_xydata()
        assert np.trapezoid(rates[:, 1], rates[:, 0]) == pytest.approx(area)
        tops = [steps.get_data().values for steps in artists_of(figure, block, StepPatch)]
        assert np.max(tops) == 1
        assert [top.sum() / tops[0].sum() for top in tops] == pytest.approx([1, 9 / 12])
    corners = [text.get_window_extent().p0 for text in figure.texts if "block" in text.get_text()]
    assert len(set(map(tuple, corners))) == len(corners) == blocks
    assert_readable(figure)


def test_scores_and_thresholds_stand_where_the_axis_says() -> None:
    """A chi distribution of 4 degrees of freedom has 68.3 % below 2.17."""
    scores = scores_of(2)
    figure = draw_block_panels(scores, evaluate(scores, seed=0))
    low, middle, high = (text for text in artists_of(figure, 0, Text) if text.get_position()[1] < 0)
    assert high.get_text() == "500"
    assert high.get_position()[0] == RIGHT
    values = [float(text.get_text()) for text in (low, middle, high)]
    assert values[1] == pytest.approx(np.sqrt(values[0] * values[2]), rel=0.01)
    place = thresholds(figure, 0)[0].get_xdata()[0]
    ends = low.get_position()[0], RIGHT
    share = np.log(2.17 / values[0]) / np.log(values[2] / values[0])
    assert place == pytest.approx(ends[0] + share * (ends[1] - ends[0]), abs=0.02)
    assert not thresholds(figure, 1)


def thresholds(figure: Figure, block: int) -> list[Line2D]:
    return [line for line in artists_of(figure, block, Line2D) if line.get_linestyle() == "--"]

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from gad_bench.figures.style import new_figure
from gad_bench.figures.ticks import draw_ticks


def pixels(scale: str, highest: float, *, own: bool) -> tuple[NDArray[np.uint8], Axes]:
    figure, (axes,) = new_figure(1, size=(4, 3))
    axes.plot([0.003 * highest, highest], [0.1, 0.87])
    if scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    if scale == "function":
        axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
        axes.set_ylim(1, 0)
    axes.set(xlabel="score", ylabel="rate")
    if own:
        draw_ticks(axes)
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba()), axes  # type: ignore[attr-defined]


@pytest.mark.parametrize("scale", ["linear", "log", "function"])
@pytest.mark.parametrize("highest", [0.7, 5e13])
def test_ticks_look_as_those_of_matplotlib(scale: str, highest: float) -> None:
    drawn, axes = pixels(scale, highest, own=True)
    np.testing.assert_array_equal(drawn, pixels(scale, highest, own=False)[0])
    along_x = [text for text in axes.texts if text.get_position()[0] != 0]
    has_factor = highest > 1 and scale != "log"
    assert bool(along_x) != has_factor

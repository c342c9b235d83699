from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gad_bench.figures.style import draw
from gad_bench.figures.text import write


def figure_of(text: str, x: float, y: float, rotation: int) -> Figure:
    figure = Figure(figsize=(2, 2), dpi=110)
    FigureCanvasAgg(figure)
    figure.text(x, y, text, rotation=rotation, ha="center", va="center", color="#d55e00")
    return figure


def by_matplotlib(figure: Figure) -> NDArray[np.uint8]:
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]


def inked(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return 255.0 - pixels[..., 2]


@pytest.mark.parametrize("rotation", [0, 90, 30])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.4), (0.02, 0.97), (0.99, 0.01)])
def test_text_stands_where_matplotlib_would_draw_it(x: float, y: float, rotation: int) -> None:
    figure = figure_of("Agj 0.25,\nsecond line", x, y, rotation)
    expected, found = inked(by_matplotlib(figure)), inked(draw(figure))
    assert found.sum() == pytest.approx(expected.sum(), rel=0.1)
    for axis in (0, 1):
        places = np.arange(found.shape[axis])
        middles = [ink.sum(axis=1 - axis) @ places / ink.sum() for ink in (expected, found)]
        assert middles[1] == pytest.approx(middles[0], abs=1.5)


def test_text_has_its_colour_and_opacity() -> None:
    figure = figure_of("■■■", 0.5, 0.5, 0)
    drawn = draw(figure)
    assert (drawn == (0xD5, 0x5E, 0)).all(axis=2).sum() > 100
    figure.texts[0].set_alpha(0.4)
    np.testing.assert_allclose(draw(figure), 255 - 0.4 * (255.0 - drawn), atol=1)


@pytest.mark.parametrize("text", ["$\\frac{1}{2}$", " "])
def test_formulas_are_left_to_matplotlib(text: str) -> None:
    figure = figure_of(text, 0.5, 0.5, 0)
    np.testing.assert_array_equal(draw(figure), by_matplotlib(figure))


@pytest.mark.parametrize("place", [(-9, 8), (70, 2), (20, 34), (5, 20), (-150, 20), (20, 90)])
def test_what_is_written_beyond_the_edges_is_left_out(place: tuple[int, int]) -> None:
    wide, narrow = (np.full((side, side, 3), 200, np.uint8) for side in (480, 80))
    write(wide, "Ág 0.25", (place[0] + 200, place[1] + 200), "#d55e00", 15)
    write(narrow, "Ág 0.25", place, "#d55e00", 15)
    np.testing.assert_array_equal(narrow, wide[200:280, 200:280])
    assert (wide == (0xD5, 0x5E, 0)).all(axis=2).any()

"""What the figures share: colours, an empty figure with given margins, and how they are written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gad_bench.base.files import whole_file
from gad_bench.figures.names import pillow_font, readable
from gad_bench.figures.text import Renderer, write
from gad_bench.figures.ticks import draw_ticks

GOOD, ANOMALOUS, INK = "#0072b2", "#d55e00", "#444444"  # told apart by the colour-blind, too
SWATCH = "\N{BLACK SQUARE}"
DPI = 110
LEFT, RIGHT, BETWEEN = 0.75, 0.3, 0.75  # margins of a figure, in inches
LINE, MARGIN, SMALL = 20, 8, 11  # a line of a picture's caption, before it, its letters, in pixels
PARTS, REMARKS = " · ", "; "  # what stands between a run's, between those of a note
BELOW, BESIDE = 0.3, 0.46  # inches from a plot to the names of its axes


def new_figure(
    columns: int, size: tuple[float, float], *, top: float = 0.4, bottom: float = 0.55
) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure of plots side by side, without pyplot, which would keep it.

    The margins are given, in inches as the size is, and so are the places of titles and names: to
    fit them to the labels takes matplotlib as long as to draw the figure.
    """
    width, height = size
    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    plot = (width - LEFT - RIGHT - (columns - 1) * BETWEEN) / columns
    margins = {
        "left": LEFT / width,
        "right": 1 - RIGHT / width,
        "wspace": BETWEEN / plot,
        "top": 1 - top / height,
        "bottom": bottom / height,
    }
    grid = figure.subplots(1, columns, squeeze=False, gridspec_kw=margins)[0]
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title("", y=1)
        axes.xaxis.set_label_coords(0.5, -BELOW / (height - top - bottom))
        axes.yaxis.set_label_coords(-BESIDE / plot, 0.5)
    return figure, grid


def name_kinds(figure: Figure, labels: NDArray[np.integer[Any]], height: float) -> None:
    """Name the kinds of images that there are, each in its colour; a legend takes far longer.

    Args:
        figure: where they are named, in its middle.
        labels: 0 good, 1 anomalous [images].
        height: inches from the names' foot to the figure's lower edge.
    """
    middle, inches = figure.get_figwidth() / 2, figure.dpi_scale_trans
    kinds = ("good", GOOD, "right", middle - 0.1), ("anomalous", ANOMALOUS, "left", middle + 0.1)
    for label, (name, colour, ha, x) in enumerate(kinds):
        if (labels == label).any():
            figure.text(x, height, f"{SWATCH} {name}", color=colour, ha=ha, transform=inches)


def save_figure(figure: Figure, path: Path, caption: str = "") -> None:
    """Write a figure as PNG.

    Args:
        figure: what is drawn; its label, as `set_label` gives it, is a note below it.
        path: the file.
        caption: above the figure, says of which run it is.
    """
    save_picture(draw(figure), path, caption, str(figure.get_label()))


def draw(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure's RGB pixels [height, width, 3]; drawn once, where `savefig` draws twice."""
    if figure.get_layout_engine() is None:  # else ticks may change where the plots are
        for axes in figure.axes:
            if axes.axison:
                draw_ticks(axes)
    renderer = Renderer(*figure.bbox.size, figure.dpi)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # told of by `names`, once
        figure.draw(renderer)
    pixels = cv2.cvtColor(renderer.pixels(), cv2.COLOR_RGBA2RGB)
    return np.asarray(pixels, np.uint8)


def save_picture(picture: NDArray[np.uint8], path: Path, caption: str = "", note: str = "") -> None:
    """Write RGB pixels [height, width, 3] as PNG, by OpenCV: Pillow takes three times as long.

    A caption, that says of which run the picture is, stands above it, a note below, each on as many
    lines as it takes.
    """
    above = _lines(readable(caption), PARTS, picture.shape[1])
    below = _lines(note, REMARKS, picture.shape[1])
    picture = np.vstack([*above, picture, *below])
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as file:
        file.write_bytes(encoded.tobytes())


def _lines(text: str, between: str, width: int) -> list[NDArray[np.uint8]]:
    """Draw a text, broken between its parts: lines [LINE, width, 3]; by Pillow, far sooner."""
    return [_line(line, width) for line in _wrapped(text, between, width - 2 * MARGIN)]


def _wrapped(text: str, between: str, room: int) -> list[str]:
    """Return a text on lines of some pixels, broken between its parts."""
    lines: list[str] = []
    for part in text.split(between) if text else ():
        joined = between.join([*lines[-1:], part])
        if lines and pillow_font(SMALL, joined).getlength(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _line(text: str, width: int) -> NDArray[np.uint8]:
    line = np.full((LINE, width, 3), 255, np.uint8)
    write(line, text, (MARGIN, LINE - 5), INK, SMALL)
    return line

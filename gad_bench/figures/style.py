"""What the figures share: colours, an empty figure with given margins, and how they are written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gad_bench.base.files import whole_file
from gad_bench.figures.names import pillow_font, readable

GOOD, ANOMALOUS, INK = "#0072b2", "#d55e00", "#444444"  # told apart by the colour-blind, too
DPI = 110
LEFT, RIGHT, BETWEEN = 0.75, 0.3, 0.75  # margins of a figure, in inches
LINE, MARGIN, SMALL = 20, 8, 11  # a line of a picture's caption, before it, its letters, in pixels
BETWEEN_PARTS = " · "  # of a run's name
LABEL = 0.3  # inches from a plot down to the name of its axis


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
        axes.xaxis.set_label_coords(0.5, -LABEL / (height - top - bottom))
    return figure, grid


def save_figure(figure: Figure, path: Path, caption: str = "") -> None:
    """Write a figure as PNG; drawn once, where `Figure.savefig` draws twice.

    Args:
        figure: what is drawn.
        path: the file.
        caption: above the figure, says of which run it is.
    """
    canvas: Any = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # told of by `names`, once
        canvas.draw()
    save_picture(np.asarray(canvas.buffer_rgba())[..., :3], path, caption)


def save_picture(picture: NDArray[np.uint8], path: Path, caption: str = "") -> None:
    """Write RGB pixels [height, width, 3] as PNG, by OpenCV: Pillow takes three times as long.

    A caption, that says of which run the picture is, stands above it, on as many lines as it takes.
    """
    import cv2

    width = picture.shape[1]
    lines = _wrapped(readable(caption), width - 2 * MARGIN) if caption else []
    picture = np.vstack([*(_line(text, width) for text in lines), picture])
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as file:
        file.write_bytes(encoded.tobytes())


def _wrapped(text: str, room: int) -> list[str]:
    """Return a run's name on lines of some pixels, broken between its parts."""
    lines: list[str] = []
    for part in text.split(BETWEEN_PARTS):
        joined = BETWEEN_PARTS.join([*lines[-1:], part])
        if lines and pillow_font(SMALL, joined).getlength(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _line(text: str, width: int) -> NDArray[np.uint8]:
    """Draw a line of text [LINE, width, 3]."""
    line = Image.new("RGB", (width, LINE), "white")
    ImageDraw.Draw(line).text((MARGIN, LINE - 5), text, INK, pillow_font(SMALL, text), anchor="ls")
    return np.asarray(line)

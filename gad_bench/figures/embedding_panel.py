"""Points in the plane, a colour and a mark a kind, on demand with the images themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from gad_bench.data.images import read_image, shrink
from gad_bench.figures.names import as_text, readable
from gad_bench.figures.style import DPI, GOOD

if TYPE_CHECKING:
    from gad_bench.figures.embedding import Plane

TRAINING = "training"
TRAINING_COLOUR = "#9aa0a6"
DEFECTS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#000000")
MARKS = ("o", "^", "s", "D", "v", "P", "X")
SIZE = (9.5, 6.5)  # inches
SIDE = 42  # pixels of a thumbnail's longer side
APART = 1.15  # of the sides, between the middles of two thumbnails


def draw_plane(plane: Plane, kinds: Sequence[str], paths: Sequence[str] = ()) -> Figure:
    """Draw images as points, and as thumbnails where these have room.

    Args:
        plane: where they lie.
        kinds: what each is: training, "good", or a kind of defect.
        paths: their files; none for points alone.
    """
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    looks = _looks(kinds)
    of_kind = np.array(kinds)
    for kind, (colour, mark) in looks.items():
        x, y = plane.places[of_kind == kind].T
        label = f"{readable(kind)} ({len(x)})"
        axes.scatter(x, y, s=28, color=colour, marker=mark, linewidths=0.7, alpha=0.8, label=label)
    axes.set(xlabel=plane.x, ylabel=plane.y, xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    for text in legend.get_texts():
        text.set(**as_text(text.get_text()))
    if paths:
        axes.margins(0.08)
        figure.draw_without_rendering()  # settles where the axes are
        for row in _with_room(axes, plane.places, of_kind):
            _place_image(axes, plane.places[row], paths[row], looks[kinds[row]][0])
    return figure


def _looks(kinds: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a mark a kind: training and good first, defects by name."""
    first = {TRAINING: (TRAINING_COLOUR, "x"), "good": (GOOD, "o")}
    defects = sorted(set(kinds) - set(first))
    drawn = {kind: own for kind, own in first.items() if kind in kinds}
    others = zip(defects, cycle(DEFECTS), _marks(), strict=False)
    return drawn | {kind: (colour, mark) for kind, colour, mark in others}


def _marks() -> list[str]:
    """Return marks that change where the colours begin anew."""
    return [mark for mark in (*MARKS[1:], MARKS[0]) for _ in DEFECTS]


def _with_room(axes: Axes, places: NDArray[np.float64], kinds: NDArray[np.str_]) -> list[int]:
    """Return images that do not cover one another: of all kinds in turn, training ones last."""
    pixels = axes.transData.transform(places)
    turn = pd.Series(kinds).groupby(kinds).cumcount()
    chosen: list[int] = []
    for row in np.lexsort([turn, kinds == TRAINING]):
        distances = np.abs(pixels[chosen] - pixels[row]).max(axis=1)
        if distances.min(initial=np.inf) > APART * SIDE:
            chosen.append(row)
    return chosen


def _place_image(axes: Axes, place: NDArray[np.float64], path: str, colour: str) -> None:
    picture = OffsetImage(shrink(read_image(path), SIDE), zoom=1, dpi_cor=False)
    frame = {"edgecolor": colour, "linewidth": 1.6}
    axes.add_artist(AnnotationBbox(picture, tuple(place), pad=0.08, bboxprops=frame))

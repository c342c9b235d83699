"""What the report's plots share: their style, an empty figure, and SVG that stands in a page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, PALE = "#3c4043", "#dadce0"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#444444")
WIDTH = 8.2  # inches
DPI = 120  # of the files; on the page plots are SVG
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}


def new_figure(height: float, layout: Any = "constrained") -> Figure:  # noqa: ANN401
    """Make a figure without pyplot, which would keep it and ask for a display."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(figure: Figure) -> Axes:
    """Add the only axes of a figure."""
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def colours(count: int) -> Sequence[Any]:
    """Return colours that the colour-blind tell apart, as long as these suffice."""
    few = COLOURS if count <= len(COLOURS) else colormaps["tab20"].colors  # type: ignore[attr-defined]
    return [few[number % len(few)] for number in range(count)]


def beside_legend(height: float, names: int) -> float:
    """Return the height in inches of a plot that its legend of some names fits beside."""
    return max(height, 0.6 + 0.2 * names)


def add_legend(axes: Axes, names: int) -> None:
    """Name the settings beside the plot, where there are several."""
    if names > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def svg_element(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element, with ids that no other figure of the page has."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=nothing)
    element = text.getvalue()[text.getvalue().index("<svg") :]
    element = re.sub(r' xmlns(:xlink)?="[^"]*"', "", element)
    opening = f'<svg role="img" aria-label="{name}" viewBox'
    return re.sub(r"<svg [^>]*?viewBox", opening, element, count=1)

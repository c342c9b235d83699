"""Every block's ROC curve and scores, as small multiples.

Panels are places on the figure without `Axes`, of which a run's nine blocks would need nine: they
and their ticks are what matplotlib spends its time on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import ArrayLike, NDArray

from gad_bench.evaluation.metrics import roc_curve
from gad_bench.evaluation.scores import Scores
from gad_bench.evaluation.thresholds import SIGMAS, sigma_threshold
from gad_bench.figures.curves import bin_edges
from gad_bench.figures.style import ANOMALOUS, DPI, GOOD, INK, REMARKS, name_kinds

ACROSS = 3  # blocks in a row
PANEL = (3.7, 1.75)  # inches, of a block
ABOVE, BELOW = 0.35, 0.1  # inches, of the figure's margins
SIDE = 1.15  # inches, of the ROC curve's square, which is one wide and high in its panel
CORNER = (0.2, 0.35)  # inches from a panel's to the square's
LEFT, RIGHT = 1.35, 2.8  # where the scores begin and end, in sides of the square
NOTES = (
    "left: true against false positive rate",
    "right: test images by score, the highest bar's number beside it",
)
SIGMA_NOTE = "dashed: n-sigma thresholds, the lowest in sight by name"


class Panel(NamedTuple):
    """A block's place on a figure."""

    figure: Figure
    place: Transform

    def line(self, x: ArrayLike, y: ArrayLike, **style: Any) -> None:  # noqa: ANN401
        """Draw a line."""
        self.figure.add_artist(Line2D(x, y, transform=self.place, **style))

    def steps(self, heights: ArrayLike, edges: ArrayLike, colour: str) -> None:
        """Fill what lies below steps."""
        patch = StepPatch(heights, edges, transform=self.place, facecolor=colour, alpha=0.45)
        self.figure.add_artist(patch)

    def text(self, x: float, y: float, text: str, size: int = 7, **style: Any) -> None:  # noqa: ANN401
        """Write a text."""
        self.figure.text(x, y, text, transform=self.place, fontsize=size, **style)


def draw_block_panels(scores: Scores, metrics: Mapping[str, Any]) -> Figure:
    """Draw each block's ROC curve beside its scores of good and anomalous images.

    Args:
        scores: of the test images, of both kinds.
        metrics: as `evaluate` returns them.
    """
    across = min(ACROSS, len(scores.blocks))
    down = -(-len(scores.blocks) // across)
    height = down * PANEL[1] + ABOVE + BELOW
    figure = Figure(figsize=(across * PANEL[0], height), dpi=DPI)
    FigureCanvasAgg(figure)
    for number, block in enumerate(scores.blocks):
        row, column = divmod(number, across)
        corner = column * PANEL[0] + CORNER[0], BELOW + (down - 1 - row) * PANEL[1] + CORNER[1]
        place = Affine2D().scale(SIDE).translate(*corner) + figure.dpi_scale_trans
        panel = Panel(figure, place)
        auroc = 100 * float(metrics[f"auroc_block_{block}"])
        panel.text(0, 1.1, f"block {block}: AUROC {auroc:.1f} %", size=9)
        _draw_roc(panel, scores, block)
        _draw_scores(panel, scores, block)
    name_kinds(figure, scores.labels, height - 0.2)
    figure.set_label(REMARKS.join([*NOTES, *([SIGMA_NOTE] if scores.dimensions else [])]))
    return figure


def _draw_roc(panel: Panel, scores: Scores, block: int) -> None:
    panel.line([0, 0, 1], [1, 0, 0], color=INK, linewidth=0.8)
    panel.line([0, 1], [0, 1], color=INK, linewidth=0.7, linestyle=":")
    panel.line(*roc_curve(scores.labels, scores.blocks[block]), color=ANOMALOUS, linewidth=1.3)


def _draw_scores(panel: Panel, scores: Scores, block: int) -> None:
    values = scores.blocks[block]
    edges = bin_edges(values)
    places = np.linspace(LEFT, RIGHT, len(edges))
    counts = [np.histogram(values[scores.labels == label], edges)[0] for label in (0, 1)]
    highest = np.max(counts)
    for number, colour in zip(counts, (GOOD, ANOMALOUS), strict=True):
        panel.steps(number / highest, places, colour)
    panel.line([LEFT, RIGHT], [0, 0], color=INK, linewidth=0.8)
    panel.text(LEFT - 0.05, 1, f"{highest}", ha="right", va="top")
    for index in (0, len(edges) // 2, -1):
        panel.text(places[index], -0.06, f"{edges[index]:.3g}", ha="center", va="top")
    if block in scores.dimensions:
        thresholds = {sigma: sigma_threshold(sigma, scores.dimensions[block]) for sigma in SIGMAS}
        seen = {n: value for n, value in thresholds.items() if edges[0] < value < edges[-1]}
        at = np.interp(list(seen.values()), edges, places)
        _draw_thresholds(panel, at, list(seen))


def _draw_thresholds(panel: Panel, places: NDArray[np.float64], sigmas: Sequence[int]) -> None:
    for place in places:
        panel.line([place, place], [0, 1], color=INK, linewidth=0.7, linestyle="--")
    for place, sigma in zip(places[:1], sigmas, strict=False):
        panel.text(place, 1.02, f"{sigma}\N{GREEK SMALL LETTER SIGMA}", ha="center")

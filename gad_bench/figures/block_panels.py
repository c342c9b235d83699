"""Every block's ROC curve and scores, as small multiples.

One `Axes` a block, without ticks, holds both plots: matplotlib spends its time on axes and ticks,
and a run has up to nine blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gad_bench.evaluation.metrics import roc_curve
from gad_bench.evaluation.scores import Scores
from gad_bench.evaluation.thresholds import SIGMAS, sigma_threshold
from gad_bench.figures.curves import bin_edges
from gad_bench.figures.style import ANOMALOUS, DPI, GOOD, INK

ACROSS = 3  # blocks in a row
PANEL = (3.7, 1.75)  # inches, of a block
ABOVE, BELOW = 0.45, 0.5  # inches, of the figure's margins
LEFT, RIGHT = 1.35, 3.0  # where the scores begin and end, in sides of the ROC curve's square
NOTE = (
    "left: true against false positive rate; right: test images by score, the highest bar's number "
    "beside it; dashed: n-sigma thresholds, the lowest in sight by name"
)


def draw_block_panels(scores: Scores, metrics: Mapping[str, Any]) -> Figure:
    """Draw each block's ROC curve beside its scores of good and anomalous images.

    Args:
        scores: of the test images, of both kinds.
        metrics: as `evaluate` returns them.
    """
    across = min(ACROSS, len(scores.blocks))
    down = -(-len(scores.blocks) // across)
    width, height = across * PANEL[0], down * PANEL[1] + ABOVE + BELOW
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False)
    figure.subplots_adjust(0.02, BELOW / height, 0.99, 1 - 0.35 / height, 0.06, 0.45)
    for axes in grid.ravel():
        axes.set_axis_off()
    for axes, block in zip(grid.ravel(), scores.blocks, strict=False):
        axes.set(xlim=(-0.1, RIGHT + 0.05), ylim=(-0.2, 1.05))
        auroc = 100 * float(metrics[f"auroc_block_{block}"])
        axes.set_title(f"block {block}: AUROC {auroc:.1f} %", fontsize=9, y=1, loc="left")
        _draw_roc(axes, scores, block)
        _draw_scores(axes, scores, block)
    kinds = [Line2D([], [], color=colour, linewidth=4, alpha=0.45) for colour in (GOOD, ANOMALOUS)]
    figure.legend(
        kinds, ["good", "anomalous"], loc="lower right", ncols=2, fontsize=8, frameon=False
    )
    figure.text(0.02, 0.1 / height, NOTE, fontsize=8, color=INK)
    return figure


def _draw_roc(axes: Axes, scores: Scores, block: int) -> None:
    axes.plot([0, 0, 1], [1, 0, 0], color=INK, linewidth=0.8)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.7, linestyle=":")
    axes.plot(*roc_curve(scores.labels, scores.blocks[block]), color=ANOMALOUS, linewidth=1.3)


def _draw_scores(axes: Axes, scores: Scores, block: int) -> None:
    values = scores.blocks[block]
    edges = bin_edges(values)
    places = np.linspace(LEFT, RIGHT, len(edges))
    counts = [np.histogram(values[scores.labels == label], edges)[0] for label in (0, 1)]
    highest = np.max(counts)
    for number, colour in zip(counts, (GOOD, ANOMALOUS), strict=True):
        axes.stairs(number / highest, places, fill=True, color=colour, alpha=0.45)
    axes.plot([LEFT, RIGHT], [0, 0], color=INK, linewidth=0.8)
    axes.text(LEFT - 0.05, 1, f"{highest}", ha="right", va="top", fontsize=7)
    for index in (0, len(edges) // 2, -1):
        axes.text(places[index], -0.06, f"{edges[index]:.3g}", ha="center", va="top", fontsize=7)
    if block in scores.dimensions:
        thresholds = {sigma: sigma_threshold(sigma, scores.dimensions[block]) for sigma in SIGMAS}
        seen = {n: value for n, value in thresholds.items() if edges[0] < value < edges[-1]}
        at = np.interp(list(seen.values()), edges, places)
        axes.vlines(at, 0, 1, INK, linestyles="--", linewidth=0.7)
        for place, sigma in zip(at[:1], seen, strict=False):
            axes.text(place, 1.02, f"{sigma}\N{GREEK SMALL LETTER SIGMA}", ha="center", fontsize=7)

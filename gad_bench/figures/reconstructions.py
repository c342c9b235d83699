"""Images beside what an autoencoder gives back of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gad_bench.evaluation import Scores
from gad_bench.figures.style import ANOMALOUS, DPI, GOOD, INK

Pixels = NDArray[np.uint8]
Rows = NDArray[np.intp]

EACH = 4  # images of each kind
HIGHEST = 0.995  # the quantile of the errors at which their colours end


def shown_rows(scores: Scores) -> tuple[Rows, Rows]:
    """Return which good and which anomalous images are shown, each from low to high scores."""
    good, anomalous = (_spread(scores.combined, scores.labels == label) for label in (0, 1))
    return good, anomalous


def _spread(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Rows:
    rows = np.flatnonzero(chosen)
    ranked = rows[np.argsort(values[rows], kind="stable")]
    places = np.linspace(0, len(ranked) - 1, min(EACH, len(ranked))).round().astype(int)
    return ranked[places]


def draw_reconstructions(
    inputs: Pixels,
    reconstructions: Pixels,
    errors: NDArray[np.float32],
    scores: NDArray[np.float64],
    good: int,
) -> Figure:
    """Draw images, what became of them and the errors: good ones at the left, the others right.

    The errors' colours end at the same value in all of them, their quantile `HIGHEST`.

    Args:
        inputs: [images, S, S, 3] RGB, the good ones first.
        reconstructions: likewise.
        errors: [images, S, S].
        scores: [images].
        good: how many of the images are good.
    """
    figure = Figure(figsize=(9.4, 1.5 * EACH + 0.6), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    end = float(np.quantile(errors, HIGHEST))
    halves: Any = figure.subfigures(1, 2)
    kinds = ("good", GOOD, range(good)), ("anomalous", ANOMALOUS, range(good, len(inputs)))
    for part, (name, colour, rows) in zip(halves, kinds, strict=True):
        part.suptitle(name, color=colour, fontsize=10)
        grid = part.subplots(EACH, 3)
        for axes in grid.flat:
            axes.set_axis_off()
        for row, places in zip(rows, grid, strict=False):
            places[0].imshow(inputs[row])
            places[1].imshow(reconstructions[row])
            places[2].imshow(errors[row], cmap="inferno", vmin=0, vmax=end)
            places[0].set_title(f"score {scores[row]:.3g}", fontsize=7, color=INK)
        for axes, title in zip(grid[0, 1:], ("given back", "error"), strict=True):
            axes.set_title(title, fontsize=7, color=INK)
    return figure

"""What a run looks like: curves, histograms, blocks, and the images at both ends of the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gad_bench.evaluation.evaluate import Scores
from gad_bench.evaluation.metrics import precision_recall_curve, roc_curve
from gad_bench.evaluation.sigma import SIGMAS, sigma_threshold

GOOD, ANOMALOUS, INK = "#0072b2", "#d55e00", "#444444"  # told apart by the colour-blind, too
DPI = 110


class Panel(NamedTuple):
    """One image of the contact sheet."""

    picture: NDArray[np.uint8]  # [height, width, 3] RGB
    title: str
    anomalous: bool


def draw_curves(scores: Scores, metrics: Mapping[str, Any]) -> Figure:
    """Draw the ROC and the precision-recall curve of the combined score."""
    figure, (roc, recall) = _figure(1, 2, size=(9, 4.4))
    roc.plot(*roc_curve(scores.labels, scores.combined), color=ANOMALOUS)
    roc.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    roc.set_title(f"AUROC {100 * metrics['auroc']:.1f} %")
    recall.plot(*precision_recall_curve(scores.labels, scores.combined), color=ANOMALOUS)
    share = float(np.mean(scores.labels))
    recall.axhline(share, color=INK, linewidth=0.8, linestyle=":")
    recall.set(xlabel="recall", ylabel="precision")
    recall.set_title(f"average precision {100 * metrics['aupr']:.1f} %")
    for axes in (roc, recall):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    return figure


def draw_histogram(scores: Scores, metrics: Mapping[str, Any]) -> Figure:
    """Draw the scores of good and anomalous images: combined, and of the best block.

    The n-sigma thresholds hold for one block's Mahalanobis distance; those in sight are drawn.
    """
    best = max(scores.blocks, key=lambda block: float(metrics[f"auroc_block_{block}"]))
    figure, (combined, single) = _figure(1, 2, size=(9, 3.6))
    _histogram(combined, scores, scores.combined)
    combined.set(xlabel="score, blocks combined", ylabel="test images")
    _histogram(single, scores, scores.blocks[best])
    single.set(xlabel=f"score of block {best}, the best")
    if best in scores.dimensions:
        _mark_sigmas(single, scores.dimensions[best])
    combined.legend(frameon=False)
    return figure


def draw_blocks(metrics: Mapping[str, Any], blocks: Sequence[int]) -> Figure:
    """Draw the AUROC of each block, and of all combined with its confidence interval."""
    figure, axes = _figure(1, 1, size=(max(4.5, 0.6 * len(blocks) + 2), 3.6))
    values = [100 * float(metrics[f"auroc_block_{block}"]) for block in blocks]
    positions = range(len(blocks) + 1)
    axes.bar(positions[:-1], values, color=GOOD, width=0.7)
    combined = 100 * float(metrics["auroc"])
    low, high = 100 * float(metrics["auroc_ci_low"]), 100 * float(metrics["auroc_ci_high"])
    error = [[max(combined - low, 0)], [max(high - combined, 0)]]
    axes.bar(positions[-1], combined, yerr=error, color=ANOMALOUS, width=0.7, capsize=4, ecolor=INK)
    axes.set_xticks(positions, [*map(str, blocks), "all"])
    for position, value in zip(positions, [*values, combined], strict=True):
        axes.text(position, 2, f"{value:.1f}", ha="center", color="white", fontsize=8)
    axes.axhline(50, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="block", ylabel="AUROC in %", ylim=(0, 105))
    return figure


def draw_contact_sheet(rows: Mapping[str, Sequence[Panel]]) -> Figure:
    """Draw rows of images, each row with its name."""
    columns = max(len(panels) for panels in rows.values())
    figure, grid = _figure(len(rows), columns, size=(1.7 * columns + 0.6, 2.05 * len(rows)))
    for axes_row, (name, panels) in zip(
        np.reshape(grid, (len(rows), columns)), rows.items(), strict=True
    ):
        for axes in axes_row:
            axes.set_axis_off()
        for axes, panel in zip(axes_row, panels, strict=False):
            axes.imshow(panel.picture)
            colour = ANOMALOUS if panel.anomalous else GOOD
            axes.set_title(panel.title, fontsize=7, color=colour)
        axes_row[0].text(
            -0.08, 0.5, name, rotation=90, ha="right", va="center", transform=axes_row[0].transAxes
        )
    return figure


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    """Make a figure without pyplot, which would keep it and ask for a display."""
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns)
    for axes in np.ravel(grid):
        axes.spines[["top", "right"]].set_visible(False)
    return figure, grid


def _histogram(axes: Axes, scores: Scores, values: NDArray[np.float64]) -> None:
    edges = np.histogram_bin_edges(values, bins=30).tolist()
    for label, name, colour in ((0, "good", GOOD), (1, "anomalous", ANOMALOUS)):
        axes.hist(values[scores.labels == label], bins=edges, color=colour, alpha=0.65, label=name)


def _mark_sigmas(axes: Axes, dimension: int) -> None:
    low, high = axes.get_xlim()
    for sigma in SIGMAS:
        threshold = sigma_threshold(sigma, dimension)
        if low < threshold < high:
            axes.axvline(threshold, color=INK, linewidth=0.8, linestyle="--")
            axes.text(threshold, axes.get_ylim()[1], rf"{sigma}$\sigma$", ha="center", fontsize=7)
    axes.set_xlim(low, high)

"""What a run looks like: curves, histograms and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedFormatter,
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullLocator,
)
from numpy.typing import NDArray

from gad_bench.evaluation.metrics import precision_recall_curve, roc_curve
from gad_bench.evaluation.scores import Scores
from gad_bench.evaluation.thresholds import SIGMAS, sigma_threshold
from gad_bench.figures.style import ANOMALOUS, GOOD, INK, REMARKS, name_kinds, new_figure

BINS = 30
STRETCHED = 4  # a score is far out beyond this many medians
SIGMA_NOTE = (
    "dashed: n-sigma thresholds, which erf(n / \N{SQUARE ROOT}2) of good images stay below where "
    "features are Gaussian"
)
ROOM_FOR_A_NAME = 0.05  # share of an axis


def draw_curves(scores: Scores, metrics: Mapping[str, Any]) -> Figure:
    """Draw the ROC and the precision-recall curve of the combined score.

    The areas under the lines are the AUROC and the average precision.
    """
    figure, (roc, recall) = new_figure(2, size=(9, 4.65))
    roc.plot(*roc_curve(scores.labels, scores.combined), color=ANOMALOUS)
    roc.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    point = _mark_working_point(roc, metrics)
    roc.set(xlabel="false positive rate", ylabel="true positive rate")
    low, high = 100 * metrics["auroc_ci_low"], 100 * metrics["auroc_ci_high"]
    roc.set_title(f"AUROC {100 * metrics['auroc']:.1f} % [{low:.1f}, {high:.1f}]", fontsize=11)
    reached, precision = precision_recall_curve(scores.labels, scores.combined)
    recall.step([0, *reached], [precision[0], *precision], where="pre", color=ANOMALOUS)
    recall.axhline(float(np.mean(scores.labels)), color=INK, linewidth=0.8, linestyle=":")
    recall.set(xlabel="recall", ylabel="precision")
    recall.set_title(f"average precision {100 * metrics['aupr']:.1f} %", fontsize=11)
    for axes in (roc, recall):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), box_aspect=1)
        axes.spines[["left", "bottom"]].set_bounds(0, 1)
    figure.set_label(REMARKS.join([_numbers(scores), "dotted: chance", *point]))
    return figure


def draw_histogram(
    scores: Scores, metrics: Mapping[str, Any], images: str = "test images"
) -> Figure:
    """Draw the scores of good and anomalous images: combined, and of the block that does best here.

    The threshold that the run promises a false positive rate by holds for the combined score; the
    n-sigma thresholds for one block's Mahalanobis distance. Those in sight are drawn. Without
    either kind of images, or without blocks, the combined scores stand alone.

    Args:
        scores: of the images.
        metrics: as `evaluate` returns them, and the threshold where there is one.
        images: what they are.
    """
    panels = 1 if scores.lacking or not scores.blocks else 2
    figure, (combined, *others) = new_figure(panels, size=(4.5 * panels, 3.8), top=0.5)
    _histogram(combined, scores, scores.combined)
    combined.set(xlabel="score, blocks combined" if scores.blocks else "score", ylabel=images)
    notes = _mark_threshold(combined, scores, metrics)
    for axes in others:
        notes += _draw_best_block(axes, scores, metrics)
    name_kinds(figure, scores.labels, height=3.5)
    figure.set_label(REMARKS.join(notes))
    return figure


def _draw_best_block(axes: Axes, scores: Scores, metrics: Mapping[str, Any]) -> list[str]:
    """Draw the scores of the best block, and return what has to be said below."""
    best = max(scores.blocks, key=lambda block: float(metrics[f"auroc_block_{block}"]))
    _histogram(axes, scores, scores.blocks[best])
    axes.set(xlabel=f"score of block {best}, the best on this test set")
    if best not in scores.dimensions:
        return []
    _mark_sigmas(axes, scores.dimensions[best])
    return [SIGMA_NOTE]


def draw_blocks(metrics: Mapping[str, Any], blocks: Sequence[int]) -> Figure:
    """Draw the AUROC of each block, and of all combined with its confidence interval."""
    figure, (axes,) = new_figure(1, size=(max(4.5, 0.6 * len(blocks) + 2), 3.6), top=0.1)
    values = [100 * float(metrics[f"auroc_block_{block}"]) for block in blocks]
    positions = range(len(blocks) + 1)
    axes.bar(positions[:-1], values, color=GOOD, width=0.7)
    combined = 100 * float(metrics["auroc"])
    low, high = 100 * float(metrics["auroc_ci_low"]), 100 * float(metrics["auroc_ci_high"])
    error = [[max(combined - low, 0)], [max(high - combined, 0)]]
    axes.bar(positions[-1], combined, yerr=error, color=ANOMALOUS, width=0.7, capsize=4, ecolor=INK)
    names = FixedFormatter([*map(str, blocks), "all"])
    axes.xaxis.set(major_locator=FixedLocator(positions), major_formatter=names)
    tops = [*values, max(combined, high)]
    for position, value, top in zip(positions, [*values, combined], tops, strict=True):
        axes.text(position, top + 1.5, f"{value:.1f}", ha="center", color=INK, fontsize=8)
    axes.axhline(50, color=INK, linewidth=0.8, linestyle=":")
    axes.yaxis.set_major_locator(FixedLocator(range(0, 101, 20)))
    axes.set(xlabel="block", ylabel="AUROC in %", ylim=(0, 110))
    axes.spines["left"].set_bounds(0, 100)
    return figure


def _mark_working_point(axes: Axes, metrics: Mapping[str, Any]) -> list[str]:
    """Mark what the decisions for the wanted false positive rate come to; return what it is."""
    if "fpr_conformal" not in metrics:
        return []
    point = metrics["fpr_conformal"], metrics["tpr_conformal"]
    axes.plot(*point, "o", color=INK, clip_on=False, zorder=3)
    return [f"point: the decisions for {100 * metrics['fpr_used']:.3g} % false alarms"]


def _mark_threshold(axes: Axes, scores: Scores, metrics: Mapping[str, Any]) -> list[str]:
    """Draw where the combined score's decision changes, if that is in sight; return what it is.

    Where several fits decide there is no one threshold, but a range in which both occur.
    """
    if "fpr_used" not in metrics:
        return []
    limits, rate = axes.get_xlim(), f"{100 * metrics['fpr_used']:.3g} % false alarms"
    threshold = metrics.get("threshold_conformal")
    if threshold is None and scores.p_values is not None:
        flagged = scores.p_values <= metrics["fpr_used"]
        if flagged.all() or not flagged.any():
            return []
        ends = scores.combined[flagged].min(), scores.combined[~flagged].max()
        axes.axvspan(min(ends), max(ends), color=INK, alpha=0.4, linewidth=1)
        return [f"grey: passed before it, flagged beyond it, for {rate}"]
    if threshold is None or not limits[0] < threshold < limits[1]:
        return []
    axes.axvline(threshold, color=INK, linewidth=1)
    axes.set_xlim(limits)
    return [f"solid: the threshold for {rate}, from the images held out"]


def _numbers(scores: Scores) -> str:
    anomalous = int(np.sum(scores.labels))
    return f"{len(scores.labels) - anomalous} good and {anomalous} anomalous test images"


def bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return equal bins, by logarithm where a few scores far out would press the others together.

    Args:
        values: scores [images].

    Returns:
        The edges [BINS + 1].
    """
    if _is_stretched(values):
        return np.geomspace(values.min(), values.max(), BINS + 1)
    return np.histogram_bin_edges(values, BINS)


def _is_stretched(values: NDArray[np.float64]) -> bool:
    return bool(values.min() > 0 and values.max() > STRETCHED * np.median(values))


def _histogram(axes: Axes, scores: Scores, values: NDArray[np.float64]) -> None:
    edges = bin_edges(values)
    if _is_stretched(values):
        axes.set_xscale("log")
        steps = (1, 2, 5) if values.max() < 100 * values.min() else (1,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6))
    for label, colour in ((0, GOOD), (1, ANOMALOUS)):
        chosen = values[scores.labels == label]
        if not len(chosen):
            continue
        heights = np.pad(np.repeat(np.histogram(chosen, edges)[0], 2), 1)
        axes.fill(np.repeat(edges, 2), heights, facecolor=(colour, 0.45), edgecolor=colour)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))  # the margin has room for few digits


def _mark_sigmas(axes: Axes, dimension: int) -> None:
    """Draw the thresholds in sight, and name those that have room for a name."""
    limits = axes.get_xlim()
    named = -np.inf
    for sigma in SIGMAS:
        threshold = sigma_threshold(sigma, dimension)
        if not limits[0] < threshold < limits[1]:
            continue
        axes.axvline(threshold, color=INK, linewidth=0.7, linestyle="--")
        share = axes.transAxes.inverted().transform(axes.transData.transform((threshold, 0)))[0]
        if share - named > ROOM_FOR_A_NAME:
            named = share
            text = f"{sigma}\N{GREEK SMALL LETTER SIGMA}"
            axes.text(share, 1.01, text, ha="center", fontsize=7, transform=axes.transAxes)
    axes.set_xlim(limits)

"""Whether false positive rates hold what they promise: the figure calibration.png."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator
from numpy.typing import NDArray

from gad_bench.evaluation.conformal import Calibration, CrossCalibration
from gad_bench.evaluation.metrics import auroc, clopper_pearson
from gad_bench.evaluation.scores import Scores
from gad_bench.evaluation.thresholds import CONFORMAL, GAUSSIAN, DistanceLaw, Threshold
from gad_bench.evaluation.working_points import (
    Chosen,
    calibrate,
    calibrated_by,
    conformal_p_values,
    distance_laws,
)
from gad_bench.figures.style import ANOMALOUS, GOOD, INK, new_figure

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]

PROMISED = np.linspace(0, 1, 401) ** 2  # closer where rates are low, as the axes are
TICKS = (0, 1, 5, 10, 20, 30, 50, 70, 100)  # percent


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A method's p-values of good images.

    Attributes:
        name: of the method.
        p_values: of good test images, over all folds.
        images: their number in one fold's test set.
        colour: of the line and its band.
    """

    name: str
    p_values: Vector
    images: int
    colour: str

    @property
    def measured(self) -> Vector:
        """The false positive rate for each of the promised ones."""
        ranked = np.sort(self.p_values)
        return np.searchsorted(ranked, PROMISED, side="right") / len(ranked)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One score's curves.

    Attributes:
        title: names the score.
        curves: at least one.
        calibration: whose own promise is drawn as well: of split conformal the range of rates that
            such calibrations have, of cross-conformal the rate that holds in the worst case.
    """

    title: str
    curves: Sequence[Curve]
    calibration: Calibration | CrossCalibration | None


def calibration_panels(
    threshold: Threshold,
    folds: Sequence[Scores],
    tested: Sequence[Rows],
    calibrating: Sequence[Scores] = (),
) -> list[Panel]:
    """Return what is promised for the combined score, and for the best block by each method.

    Args:
        threshold: the methods.
        folds: the folds' scores.
        tested: of each fold's scores the images, in rising order.
        calibrating: as for `working_points`.
    """
    if any("good" in fold.lacking for fold in folds):
        return []
    by, tested = calibrated_by(folds, tested, calibrating)
    conformal = CONFORMAL in threshold.methods and all(fold.held_out for fold in by)
    panels = []
    if conformal:
        curve, calibration = _conformal(by, tested, lambda scores: scores.combined)
        panels.append(Panel(title="blocks combined", curves=[curve], calibration=calibration))
    blocks = [block for block in folds[0].blocks if all(block in fold.dimensions for fold in folds)]
    if GAUSSIAN in threshold.methods and blocks and not any(fold.lacking for fold in folds):
        best = max(blocks, key=lambda block: _mean_auroc(folds, block))
        curves = [*_gaussian(folds, best)]
        if conformal:
            curves.insert(0, _conformal(by, tested, lambda scores: scores.blocks[best])[0])
        title = f"block {best}, the best on this test set"
        panels.append(Panel(title=title, curves=curves, calibration=None))
    return panels


def draw_panels(panels: Sequence[Panel], wanted: float) -> Figure:
    """Draw measured against promised false positive rates, on axes of square roots.

    Args:
        panels: at least one.
        wanted: the rate that was asked for.
    """
    figure, grid = new_figure(len(panels), size=(4.6 * len(panels) + 0.4, 4.95))
    for axes, panel in zip(grid, panels, strict=True):
        _draw(axes, panel)
        axes.axvline(wanted, color=INK, linewidth=0.7, linestyle="--")
    images = panels[0].curves[0].images
    figure.set_label(
        f"{images} good test images; band: 95 % interval; diagonal: as promised; dashed: wanted"
    )
    return figure


def _conformal(
    folds: Sequence[Scores], tested: Sequence[Rows], chosen: Chosen
) -> tuple[Curve, Calibration | CrossCalibration]:
    calibration = calibrate(folds, chosen)
    p_values = conformal_p_values(folds, tested, chosen)[0]
    good = p_values[folds[0].labels == 0]
    kind = "conformal" if isinstance(calibration, Calibration) else "cross-conformal"
    name = f"{kind}, {calibration.images} held out"
    return Curve(name=name, p_values=good, images=len(good), colour=GOOD), calibration


def _gaussian(folds: Sequence[Scores], block: int) -> list[Curve]:
    laws = distance_laws(folds, block)
    plain = [DistanceLaw(dimension=law.dimension) for law in laws]
    if laws == plain:
        return [_by_laws(folds, block, laws, "Gaussian (chi-square)", ANOMALOUS)]
    return [
        _by_laws(folds, block, laws, "Gaussian (F)", ANOMALOUS),
        _by_laws(folds, block, plain, "Gaussian (chi-square)", INK),
    ]


def _by_laws(
    folds: Sequence[Scores], block: int, laws: Sequence[DistanceLaw], name: str, colour: str
) -> Curve:
    p_values = [
        law.p_values(fold.blocks[block][fold.labels == 0])
        for law, fold in zip(laws, folds, strict=True)
    ]
    joined = np.concatenate(p_values)
    return Curve(name=name, p_values=joined, images=len(joined) // len(folds), colour=colour)


def _mean_auroc(folds: Sequence[Scores], block: int) -> float:
    return float(np.mean([auroc(fold.labels, fold.blocks[block]) for fold in folds]))


def _draw(axes: Axes, panel: Panel) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    if panel.calibration:
        _draw_promise(axes, panel.calibration)
    for curve in panel.curves:
        axes.fill_between(
            PROMISED, *clopper_pearson(curve.measured, curve.images), color=curve.colour, alpha=0.15
        )
        axes.plot(PROMISED, curve.measured, color=curve.colour, label=curve.name)
    _set_square_root(axes)
    axes.set_title(panel.title, fontsize=11)
    axes.legend(loc="best", fontsize=8, framealpha=1, edgecolor="none")


def _draw_promise(axes: Axes, calibration: Calibration | CrossCalibration) -> None:
    if isinstance(calibration, Calibration):
        name = "95 % of such calibrations"
        lines = np.transpose([calibration.rate_interval(rate) for rate in PROMISED])
    else:
        name = "bound that always holds"
        lines = np.array([[calibration.promise(rate) for rate in PROMISED]])
    for number, line in enumerate(lines):
        label = None if number else name
        axes.plot(PROMISED, line, color=GOOD, linewidth=0.9, linestyle=":", label=label)


def _set_square_root(axes: Axes) -> None:
    scale = (lambda rate: np.sqrt(np.maximum(rate, 0)), np.square)
    axes.set_xscale("function", functions=scale)
    axes.set_yscale("function", functions=scale)
    names = FixedFormatter([str(tick) for tick in TICKS])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set(major_locator=FixedLocator([tick / 100 for tick in TICKS]), major_formatter=names)
    axes.set(xlim=(0, 1), ylim=(0, 1), box_aspect=1)
    axes.set(xlabel="promised false positive rate in %", ylabel="measured in %")

"""The figures of a run, as PNG files in its output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.evaluation import Scores, Threshold
from gad_bench.figures.block_panels import draw_block_panels
from gad_bench.figures.calibration import calibration_panels, draw_panels
from gad_bench.figures.contact_sheet import draw_contact_sheet, extremes
from gad_bench.figures.curves import draw_blocks, draw_curves, draw_histogram
from gad_bench.figures.style import save_figure, save_picture
from gad_bench.figures.training import Curves, training_curves


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """The figures that every run has, with all that they show: another process can draw them.

    Attributes:
        output: the folder.
        name: of the run.
        images: what is shown.
        catalog: its rows of the catalog.
        scores: its scores, of several folds the means.
        metrics: theirs, and of the threshold where there is one.
        threshold: the wanted rate, and the methods that promise it.
        folds: the folds' scores.
        tested: of each fold's scores the images, in rising order.
        calibrating: as for `working_points`.
        prefix: of the files' names.
    """

    output: Path
    name: str
    images: str
    catalog: pd.DataFrame
    scores: Scores
    metrics: Mapping[str, Any]
    threshold: Threshold
    folds: Sequence[Scores]
    tested: Sequence[NDArray[np.intp]]
    calibrating: Sequence[Scores]
    prefix: str

    def draw(self) -> None:
        """Draw them."""
        draw_figures(self.output, self.catalog, self.scores, self.metrics, self.name, self.images)
        draw_calibration(
            self.output, self.threshold, self.folds, self.tested, self.name, self.calibrating
        )
        add_prefix(self.output, self.prefix)


def add_prefix(output: Path, prefix: str) -> None:
    """Let the names of all figures in a folder begin with a prefix."""
    for figure in output.glob("*.png"):
        if not figure.name.startswith(prefix):
            figure.rename(figure.with_name(prefix + figure.name))


def draw_figures(
    output: Path,
    tested: pd.DataFrame,
    scores: Scores,
    metrics: Mapping[str, Any],
    name: str,
    images: str = "test images",
) -> None:
    """Draw histogram.png and contact_sheet.png; of good and anomalous images more.

    Where there are both: curves.png, blocks.png and, of more blocks than one, block_curves.png.

    Args:
        output: the folder.
        tested: the test images' rows of the catalog.
        scores: theirs.
        metrics: as `evaluate` returns them, and of the threshold where there is one.
        name: of the run.
        images: what they are.
    """

    def draw_sheet() -> None:
        shown = extremes(tested, scores, _flagged(scores, metrics))
        save_picture(draw_contact_sheet(shown), output / "contact_sheet.png", name)

    with ThreadPoolExecutor(1) as beside:  # most of a sheet is decoding, which holds no lock
        sheet = beside.submit(draw_sheet)
        if not scores.lacking:
            save_figure(draw_curves(scores, metrics), output / "curves.png", name)
            if scores.blocks:
                blocks = draw_blocks(metrics, list(scores.blocks))
                save_figure(blocks, output / "blocks.png", name)
            if len(scores.blocks) > 1:
                panels = draw_block_panels(scores, metrics)
                save_figure(panels, output / "block_curves.png", name)
        save_figure(draw_histogram(scores, metrics, images), output / "histogram.png", name)
        sheet.result()


def _flagged(scores: Scores, metrics: Mapping[str, Any]) -> NDArray[np.bool_] | None:
    """Return which images are called anomalous, None where nothing decides."""
    if scores.p_values is not None and "fpr_used" in metrics:
        return np.asarray(scores.p_values <= metrics["fpr_used"])
    threshold = metrics.get("threshold_conformal")
    return None if threshold is None else np.asarray(scores.combined > threshold)


def draw_calibration(
    output: Path,
    threshold: Threshold,
    folds: Sequence[Scores],
    tested: Sequence[NDArray[np.intp]],
    name: str,
    calibrating: Sequence[Scores] = (),
) -> None:
    """Draw calibration.png, if any false positive rate is promised.

    Args:
        output: the folder.
        threshold: the wanted rate, and the methods that promise it.
        folds: the folds' scores.
        tested: of each fold's scores the images, in rising order.
        name: of the run.
        calibrating: as for `working_points`.
    """
    panels = calibration_panels(threshold, folds, tested, calibrating)
    if panels:
        save_figure(draw_panels(panels, threshold.fpr), output / "calibration.png", name)


def draw_training(
    output: Path, folds: Sequence[Curves], best_epochs: Sequence[int], name: str
) -> None:
    """Draw training.png.

    Args:
        output: the folder.
        folds: a value an epoch by name, one a fold.
        best_epochs: whose weights were kept, one a fold.
        name: of the run.
    """
    save_figure(training_curves(folds, best_epochs), output / "training.png", name)

"""The figures of a run, as PNG files in its output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.evaluation import Scores, Threshold
from gad_bench.figures.calibration import calibration_panels, draw_panels
from gad_bench.figures.contact_sheet import draw_contact_sheet, extremes
from gad_bench.figures.curves import draw_blocks, draw_curves, draw_histogram
from gad_bench.figures.style import save_figure, save_picture


def draw_figures(
    output: Path, tested: pd.DataFrame, scores: Scores, metrics: Mapping[str, Any]
) -> None:
    """Draw curves.png, histogram.png, contact_sheet.png and, where blocks have scores, blocks.png.

    Args:
        output: the folder.
        tested: the test images' rows of the catalog.
        scores: theirs.
        metrics: as `evaluate` returns them.
    """

    def draw_sheet() -> None:
        save_picture(draw_contact_sheet(extremes(tested, scores)), output / "contact_sheet.png")

    with ThreadPoolExecutor(1) as beside:  # most of a sheet is decoding, which holds no lock
        sheet = beside.submit(draw_sheet)
        save_figure(draw_curves(scores, metrics), output / "curves.png")
        save_figure(draw_histogram(scores, metrics), output / "histogram.png")
        if scores.blocks:
            save_figure(draw_blocks(metrics, list(scores.blocks)), output / "blocks.png")
        sheet.result()


def draw_calibration(
    output: Path,
    threshold: Threshold,
    folds: Sequence[Scores],
    tested: Sequence[NDArray[np.intp]],
) -> None:
    """Draw calibration.png, if any false positive rate is promised.

    Args:
        output: the folder.
        threshold: the wanted rate, and the methods that promise it.
        folds: the folds' scores.
        tested: of each fold's scores the images, in rising order.
    """
    panels = calibration_panels(threshold, folds, tested)
    if panels:
        save_figure(draw_panels(panels, threshold.fpr), output / "calibration.png")

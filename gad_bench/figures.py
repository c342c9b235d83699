"""The figures of a run, as PNG files in its output folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gad_bench.data.images import read_image
from gad_bench.evaluation import Scores
from gad_bench.files import whole_file

COLUMNS = 6
THUMBNAIL = 160  # pixels


def draw_figures(
    output: Path, tested: pd.DataFrame, scores: Scores, metrics: Mapping[str, Any]
) -> None:
    """Draw curves.png, histogram.png, blocks.png and contact_sheet.png.

    Args:
        output: the folder.
        tested: the test images' rows of the catalog.
        scores: theirs.
        metrics: as `evaluate` returns them.
    """
    from gad_bench.evaluation import figures

    drawn = {
        "curves": figures.draw_curves(scores, metrics),
        "histogram": figures.draw_histogram(scores, metrics),
        "blocks": figures.draw_blocks(metrics, list(scores.blocks)),
        "contact_sheet": figures.draw_contact_sheet(_extremes(tested, scores)),
    }
    for name, figure in drawn.items():
        with whole_file(output / f"{name}.png") as file:
            figure.savefig(file, format="png")


def _extremes(tested: pd.DataFrame, scores: Scores) -> dict[str, list[Any]]:
    """Return the highest and the lowest scored images of either kind."""
    rows = {}
    for label, kind in ((0, "good"), (1, "anomalous")):
        order = np.flatnonzero(scores.labels == label)
        order = order[np.argsort(scores.combined[order], kind="stable")]
        rows[f"{kind}, lowest"] = [_panel(tested, scores, row) for row in order[:COLUMNS]]
        rows[f"{kind}, highest"] = [_panel(tested, scores, row) for row in order[::-1][:COLUMNS]]
    return rows


def _panel(tested: pd.DataFrame, scores: Scores, row: int) -> Any:  # noqa: ANN401
    import cv2

    from gad_bench.evaluation.figures import Panel

    image = read_image(tested["path"].iloc[row])
    scale = THUMBNAIL / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    title = f"{tested['defect'].iloc[row]}  {scores.combined[row]:.1f}"
    return Panel(np.asarray(small, np.uint8), title, bool(scores.labels[row]))

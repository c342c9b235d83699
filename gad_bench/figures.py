"""The figures of a run, as PNG files in its output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.data.images import read_image, read_mask
from gad_bench.evaluation import Scores, Threshold
from gad_bench.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 6
OUTLINE = 9  # pixels across a defect of one pixel
OUTLINE_COLOUR = (0, 255, 255)


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
    from gad_bench.evaluation.contact_sheet import draw_contact_sheet

    def draw_sheet() -> None:
        save_picture(draw_contact_sheet(_extremes(tested, scores)), output / "contact_sheet.png")

    with ThreadPoolExecutor(1) as beside:  # most of a sheet is decoding, which holds no lock
        sheet = beside.submit(draw_sheet)
        drawn = {
            "curves": figures.draw_curves(scores, metrics),
            "histogram": figures.draw_histogram(scores, metrics),
            "blocks": figures.draw_blocks(metrics, list(scores.blocks)),
        }
        for name, figure in drawn.items():
            save_figure(figure, output / f"{name}.png")
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
    from gad_bench.evaluation import calibration

    panels = calibration.calibration_panels(threshold, folds, tested)
    if panels:
        save_figure(calibration.draw_panels(panels, threshold.fpr), output / "calibration.png")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; drawn once, where `Figure.savefig` draws twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    save_picture(np.asarray(canvas.buffer_rgba())[..., :3], path)


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write RGB pixels [height, width, 3] as PNG, by OpenCV: Pillow takes three times as long."""
    import cv2

    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    with whole_file(path) as file:
        file.write_bytes(encoded.tobytes())


def _extremes(tested: pd.DataFrame, scores: Scores) -> dict[str, list[Any]]:
    """Return the highest and the lowest scored images of either kind."""
    panel = partial(_panel, tested, scores)
    rows = {}
    with ThreadPoolExecutor() as pool:
        for label, kind in ((0, "good"), (1, "anomalous")):
            order = np.flatnonzero(scores.labels == label)
            order = order[np.argsort(scores.combined[order], kind="stable")]
            rows[f"{kind}, lowest"] = list(pool.map(panel, order[:COLUMNS]))
            rows[f"{kind}, highest"] = list(pool.map(panel, order[::-1][:COLUMNS]))
    return rows


def _panel(tested: pd.DataFrame, scores: Scores, row: int) -> Any:  # noqa: ANN401
    from gad_bench.evaluation.contact_sheet import Panel

    return Panel(
        picture=_thumbnail(tested["path"].iloc[row], tested["mask"].iloc[row]),
        title=tested["defect"].iloc[row],
        score=f"  {scores.combined[row]:#.3g}",
        anomalous=bool(scores.labels[row]),
    )


def _thumbnail(path: str, mask_path: str) -> NDArray[np.uint8]:
    """Return a small picture [height, width, 3] with a line round its defect."""
    import cv2

    from gad_bench.evaluation.contact_sheet import SIDE

    image = read_image(path)
    longest = max(image.shape[:2])
    height, width = (max(1, round(SIDE * side / longest)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if mask_path:
        mask = read_mask(mask_path, image.shape[:2]).astype(np.float32)
        shrunk = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) > 0
        around = cv2.dilate(shrunk.astype(np.uint8), np.ones((OUTLINE, OUTLINE), np.uint8))
        lines, _ = cv2.findContours(around, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, lines, -1, OUTLINE_COLOUR, 1)
    return np.asarray(small, np.uint8)

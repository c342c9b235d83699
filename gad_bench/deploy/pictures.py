"""Pictures of where anomalies are: an image beside its heat map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gad_bench.data.images import read_image
from gad_bench.deploy.detector import Predictions
from gad_bench.files import whole_file
from gad_bench.localisation import HeatMaps

SIDE = 512
"""The longer side of a picture, in pixels."""
OPACITY = 0.55


def write_pictures(found: Predictions, folder: Path) -> None:
    """Write a PNG per image, numbered in the order of the table: the image, and its heat map on it.

    The colours' ends are the same for all of them: the median and the highest distance but for
    0.5 % of the positions.

    Args:
        found: of image files, with heat maps.
        folder: for the pictures.
    """
    if found.heat_maps is None:
        return
    low, high = np.quantile(found.heat_maps.grids, [0.5, 0.995])
    for row, path in enumerate(found.images):
        picture = _picture(path, found.heat_maps, row, (float(low), float(high)))
        with whole_file(folder / f"{row:04d}_{Path(path).stem}.png") as file:
            picture.save(file, format="png")


def _picture(path: str, maps: HeatMaps, row: int, ends: tuple[float, float]) -> Image.Image:
    import cv2

    image = read_image(path)
    scale = min(1.0, SIDE / max(image.shape[:2]))
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    share = (maps.at_size(row, height, width) - ends[0]) / max(ends[1] - ends[0], 1e-12)
    levels = (255 * np.clip(share, 0, 1)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    mixed = cv2.addWeighted(small, 1 - OPACITY, colours, OPACITY, 0)
    return Image.fromarray(np.hstack([small, mixed]))

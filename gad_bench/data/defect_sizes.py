"""How small a category's defects are.

A defect's size is the area of its mask's largest connected part. The smallest over a category's
masks tells how fine an inspection has to be; it is a data set's fact `smallest_defect`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.data.catalog import CategoryFacts
from gad_bench.data.images import image_shape, read_image, read_mask


@dataclass(frozen=True)
class DefectSize:
    """A defect, by the largest connected part of its mask.

    Attributes:
        pixels: its area.
        share: of the image's area.
        mask: the mask's file.
    """

    pixels: int
    share: float
    mask: str


@dataclass(frozen=True)
class DefectWidth:
    """How narrow a defect is, by the largest connected part of its mask.

    Attributes:
        corners: of the rectangle of least area about that part [4, 2], as shares of the image's
            width and height.
        shape: the image's height and width, in pixels.
        mask: the mask's file.
    """

    corners: NDArray[np.float64]
    shape: tuple[int, int]
    mask: str

    def at(self, side: int) -> float:
        """Return the rectangle's shorter side in pixels of a square input of this side."""
        sides = np.linalg.norm(np.diff(self.corners[:3], axis=0), axis=1)
        return side * float(sides.min())


def narrowest_defect(catalog: pd.DataFrame, masks: int) -> DefectWidth | None:
    """Return the narrowest defect of a category's catalog; None without masks that show one.

    Args:
        catalog: the category's images.
        masks: how many are looked at, for the time it takes: those of the smallest files, because
            small defects make small files. A mask that is a folder of several is passed over.

    Raises:
        UserError: a mask cannot be read.
    """
    files = [mask for mask in catalog["mask"] if mask and Path(mask).is_file()]
    smallest = sorted(files, key=lambda file: (Path(file).stat().st_size, file))[:masks]
    with ThreadPoolExecutor() as threads:
        found = [width for width in threads.map(_width, smallest) if width]
    return min(found, key=lambda width: width.at(1), default=None)


def _width(file: str) -> DefectWidth | None:
    mask = read_mask(file, image_shape(file))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    left, top, width, height = statistics[largest, :4]
    inside = labels[top : top + height, left : left + width] == largest
    rows, columns = np.nonzero(inside)
    pixels = np.concatenate([[columns + x, rows + y] for x in (0, 1) for y in (0, 1)], axis=1)
    shares = pixels.T / np.array(mask.shape[::-1])
    corners = cv2.boxPoints(cv2.minAreaRect(shares.astype(np.float32)))
    return DefectWidth(corners.astype(np.float64), mask.shape, file)


def defect_share(facts: CategoryFacts, catalog: pd.DataFrame) -> float | None:
    """Return the smallest defect's share of an image: by the data set's fact, else by the masks.

    None where neither is there.

    Raises:
        UserError: an image or a mask cannot be read.
    """
    if facts.smallest_defect is None:
        found = smallest_defect(catalog)
        return None if found is None else found.share
    height, width = image_shape(catalog["path"].iloc[0])
    return facts.smallest_defect / (height * width)


def largest_part(mask: NDArray[np.bool_]) -> int:
    """Return the area of the mask's largest part, connected by edges or corners; 0 without any."""
    count, _, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    return int(statistics[1:, cv2.CC_STAT_AREA].max()) if count > 1 else 0


def smallest_defect(catalog: pd.DataFrame) -> DefectSize | None:
    """Return the smallest defect of a category's catalog; None without masks that show one.

    Raises:
        UserError: an image or a mask cannot be read.
    """
    sizes = []
    for row in catalog[catalog["mask"] != ""].itertuples():
        mask = read_mask(str(row.mask), read_image(str(row.path)).shape[:2])
        if pixels := largest_part(mask):
            sizes.append(DefectSize(pixels, pixels / mask.size, str(row.mask)))
    return min(sizes, key=lambda size: size.pixels, default=None)


if __name__ == "__main__":  # the command's name before there was `python -m gad_bench.defect_sizes`
    import runpy

    runpy.run_module("gad_bench.defect_sizes", run_name="__main__")

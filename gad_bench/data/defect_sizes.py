"""How small a category's defects are.

A defect's size is the area of its mask's largest connected part. The smallest over a category's
masks tells how fine an inspection has to be; it is a data set's fact `smallest_defect`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.data.images import read_image, read_mask


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

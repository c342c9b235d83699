"""The smallest defect of each category: `python -m gad_bench.data.defect_sizes dataset=demo`.

A defect's size is the area of its mask's largest connected part. The smallest over a category's
masks tells how fine an inspection has to be; it is a data set's fact `smallest_defect`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.config import build, compose_config
from gad_bench.data.catalog import Dataset
from gad_bench.data.images import read_image, read_mask
from gad_bench.errors import UserError

DONE, IMPOSSIBLE = 0, 2


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a category and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gad_bench.data.defect_sizes", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="as for a run: dataset=..., dataset.root="
    )
    parser.add_argument(
        "--categories",
        nargs="+",
        metavar="NAME",
        help="some categories; the data set's own without",
    )
    chosen = parser.parse_intermixed_args(arguments)
    try:
        dataset: Dataset = build(compose_config(chosen.overrides).dataset)
        for category in chosen.categories or dataset.category_names():
            print(_line(category, smallest_defect(dataset.catalog(category))), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return IMPOSSIBLE
    return DONE


def _line(category: str, size: DefectSize | None) -> str:
    if size is None:
        return f"{category}: no masks"
    return f"{category}: {size.pixels} pixels, {size.share:.4%} of the image, in {size.mask}"


if __name__ == "__main__":
    sys.exit(main())

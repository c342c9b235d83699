"""Plain folders: one of good images, others of bad ones, split here into training and test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gad_bench.data.catalog import GOOD, ImageRow, Split
from gad_bench.data.folders import require_images
from gad_bench.errors import UserError


def good_bad_rows(
    folder: Path, category: str, *, good: str, bad: Sequence[str], test_share: float, seed: int
) -> Iterator[ImageRow]:
    """Yield the images of a category that lie in plain folders.

    Args:
        folder: the category's folder.
        category: its name.
        good: the folder of good images, within the category's.
        bad: folders of anomalous images; each names its kind of defect.
        test_share: share of the good images, drawn at random, that is held for the test.
        seed: of the draw.

    Raises:
        UserError: a folder is missing or empty, or the share leaves training or test without any.
    """
    images = require_images(folder / good)
    held = _draw(len(images), test_share, seed)
    for number, image in enumerate(images):
        split: Split = "test" if number in held else "train"
        yield ImageRow(str(image), category, split, 0, GOOD, "")
    for defect in bad:
        for image in require_images(folder / defect):
            yield ImageRow(str(image), category, "test", 1, defect, "")


def _draw(count: int, share: float, seed: int) -> set[int]:
    wanted = round(share * count)
    if not 0 < wanted < count:
        raise UserError(
            f"dataset.test_share={share} holds {wanted} of {count} good images for the test: "
            "both training and test need some"
        )
    return set(np.random.default_rng(seed).permutation(count)[:wanted].tolist())

"""Plain folders: one of good images, others of bad ones, split here into training and test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from gad_bench.data.catalog import GOOD, ImageRow, Split
from gad_bench.data.category_folders import CategoryFolders
from gad_bench.data.folders import require_images
from gad_bench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PlainFolders:
    """Where the images of a category are, and how the good ones are split.

    Attributes:
        good: the folder of good images, within the category's.
        bad: the folder of anomalous images of each kind of defect.
        mask: the name of an image's mask, beside it in its folder; "*" is the image's stem. Such
            files are no images themselves. Null where there are none.
        test_share: share of the good images, drawn at random, that is held for the test.
        seed: of the draw.
    """

    good: str
    bad: dict[str, str]
    mask: str | None
    test_share: float
    seed: int

    def rows(self, folder: Path, category: str) -> Iterator[ImageRow]:
        """Yield the images of a category.

        Raises:
            UserError: a folder is missing or empty, or the share leaves training or test without
                any.
        """
        images = self._images(folder / self.good)
        held = _draw(len(images), self.test_share, self.seed)
        for number, image in enumerate(images):
            split: Split = "test" if number in held else "train"
            yield ImageRow(str(image), category, split, 0, GOOD, "")
        for defect, name in self.bad.items():
            for image in self._images(folder / name):
                yield ImageRow(str(image), category, "test", 1, defect, self._mask(image))

    def _images(self, folder: Path) -> list[Path]:
        found = require_images(folder)
        return [path for path in found if not (self.mask and fnmatch(path.name, self.mask))]

    def _mask(self, image: Path) -> str:
        if not self.mask:
            return ""
        mask = image.with_name(self.mask.replace("*", image.stem))
        return str(mask) if mask.is_file() else ""


@dataclass(frozen=True, kw_only=True)
class GoodBad(PlainFolders, CategoryFolders):
    """A data set of known categories in plain folders."""


def _draw(count: int, share: float, seed: int) -> set[int]:
    wanted = round(share * count)
    if not 0 < wanted < count:
        raise UserError(
            f"dataset.test_share={share} holds {wanted} of {count} good images for the test: "
            "both training and test need some"
        )
    return set(np.random.default_rng(seed).permutation(count)[:wanted].tolist())

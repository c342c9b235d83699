"""MVTec AD and every data set that is laid out as it is.

    <root>/<category>/train/good/*.png
    <root>/<category>/test/good/*.png
    <root>/<category>/test/<defect>/*.png
    <root>/<category>/ground_truth/<defect>/<stem>_mask.png

Images and masks may be of any format that `images` reads; a mask may also be named as its image is.
Source of the layout: Bergmann, Fauser, Sattlegger and Steger, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gad_bench.data.catalog import (
    GOOD,
    CategoryFacts,
    ImageRow,
    category_facts,
    make_catalog,
    unknown_category,
)
from gad_bench.data.folders import data_root, list_folders, list_images, require_images
from gad_bench.errors import UserError


@dataclass(frozen=True, kw_only=True)
class MVTecLayout:
    """A data set of known categories in MVTec layout.

    Attributes:
        name: its name in reports.
        root: the folder that holds the categories' folders.
        hint: for the error without data: how to name the root and where the data are to be had.
        shared: the facts that all categories share, as `CategoryFacts` has them.
        categories: each category with the facts in which it differs.
    """

    name: str
    root: str | None
    hint: str
    shared: dict[str, Any]
    categories: dict[str, Any]

    def category_names(self) -> list[str]:
        """Return the categories in the configuration's order."""
        return list(self.categories)

    def catalog(self, category: str) -> pd.DataFrame:
        """Return the category's images."""
        self._require(category)
        folder = data_root(self.root, self.name, self.hint) / category
        if not folder.is_dir():
            raise UserError(f"data set {self.name}: there is no folder {folder}: {self.hint}")
        return make_catalog(mvtec_rows(folder, category), str(folder))

    def facts(self, category: str) -> CategoryFacts:
        """Return what is special about the category."""
        self._require(category)
        return category_facts(category, self.shared, self.categories)

    def _require(self, category: str) -> None:
        if category not in self.categories:
            raise unknown_category(self.name, category, self.categories)


def mvtec_rows(folder: Path, category: str) -> Iterator[ImageRow]:
    """Yield the images of one category's folder in MVTec layout.

    Raises:
        UserError: train/good holds no images, or there is no test folder.
    """
    for image in require_images(folder / "train" / GOOD):
        yield ImageRow(str(image), category, "train", 0, GOOD, "")
    defects = list_folders(folder / "test")
    if not defects:
        raise UserError(f"{folder / 'test'} must hold good/ and a folder for each kind of defect")
    for defect in defects:
        images = list_images(defect)
        masks = {} if defect.name == GOOD else _masks(folder / "ground_truth" / defect.name, images)
        for image in images:
            label = int(defect.name != GOOD)
            yield ImageRow(str(image), category, "test", label, defect.name, masks.get(image, ""))


def _masks(folder: Path, images: list[Path]) -> dict[Path, str]:
    masks = {path.stem: str(path) for path in list_images(folder)}
    named = {image: masks.get(f"{image.stem}_mask", masks.get(image.stem)) for image in images}
    found = {image: mask for image, mask in named.items() if mask}
    if masks and not found:
        raise UserError(
            f"no mask in {folder} belongs to an image: name them STEM_mask.png or STEM.png"
        )
    return found

"""Any images of the user's own: in MVTec layout, in plain folders, or listed in a CSV file.

A line that starts up has good images and nothing else: then a category is a plain folder of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.data.catalog import (
    GOOD,
    CategoryFacts,
    ImageRow,
    category_facts,
    make_catalog,
    unknown_category,
)
from gad_bench.data.folders import data_root, list_folders, list_images
from gad_bench.data.layouts import PlainFolders, mvtec_rows
from gad_bench.data.table import ImageList

TRAIN = "train"
HINT = "set dataset.root=PATH to a folder of images, or dataset.csv=FILE to a list of them"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder whose categories are its subfolders, or itself; or a CSV file.

    Attributes:
        name: the data set's name in reports.
        root: the folder; each subfolder that has train/ (or the folder of good images) is a
            category, and so is the root itself where it has one. Where none has train/, each that
            holds images is a category of good ones, the root among them.
        good: plain folders in place of MVTec layout: the folder of good images.
        bad: the folders of anomalous images.
        mask: the name of an image's mask, beside it in its folder; "*" is the image's stem.
        test_share: share of the images in `good` that is held for the test.
        seed: of that draw.
        csv: a list of images in place of a folder; its stem is the category where it names none.
        shared: the facts of every category, as `CategoryFacts` has them.
        categories: the facts in which a category differs.
    """

    name: str
    root: str | None
    good: str | None
    bad: list[str]
    mask: str | None
    test_share: float
    seed: int
    csv: str | None
    shared: dict[str, Any]
    categories: dict[str, Any]

    def __post_init__(self) -> None:
        if self.csv and (self.root or self.good):
            raise UserError("dataset.csv lists the images by itself: leave root and good out")
        if bool(self.good) != bool(self.bad):
            raise UserError("dataset.good and dataset.bad name plain folders together: set both")
        if len({self.good, *self.bad}) <= len(self.bad):
            raise UserError("dataset.good and dataset.bad name a folder twice")
        if not 0 < self.test_share < 1:
            raise UserError(f"dataset.test_share must lie between 0 and 1, not {self.test_share}")

    def category_names(self) -> list[str]:
        """Return the categories that are there, in alphabetical order."""
        return sorted(self._places())

    def catalog(self, category: str) -> pd.DataFrame:
        """Return the category's images."""
        place = self._place(category)
        return make_catalog(self._rows(place, category), str(place))

    def facts(self, category: str) -> CategoryFacts:
        """Return what is special about the category."""
        return category_facts(category, self.shared, self.categories)

    def _rows(self, place: Path, category: str) -> Iterable[ImageRow]:
        if self.csv:
            return _table(place).rows(category)
        if self.good:
            plain = PlainFolders(
                good=self.good,
                bad={folder: folder for folder in self.bad},
                mask=self.mask,
                test_share=self.test_share,
                seed=self.seed,
            )
            return plain.rows(place, category)
        if (place / TRAIN).is_dir():
            return mvtec_rows(place, category)
        images = list_images(place)
        return [ImageRow(str(image), category, "train", 0, GOOD, "") for image in images]

    def _place(self, category: str) -> Path:
        places = self._places()
        if category not in places:
            raise unknown_category(self.name, category, sorted(places))
        return places[category]

    def _places(self) -> dict[str, Path]:
        """Find each category's folder, or its CSV file."""
        if self.csv:
            file = Path(self.csv).expanduser().absolute()
            return dict.fromkeys(_table(file).categories() or [file.stem], file)
        root = data_root(self.root, self.name, HINT)
        marker = self.good or TRAIN
        folders = [folder for folder in (root, *list_folders(root)) if (folder / marker).is_dir()]
        if not folders and not self.good:
            folders = [folder for folder in (root, *list_folders(root)) if list_images(folder)]
        if not folders:
            images = "" if self.good else " or holds images"
            raise UserError(f"neither {root} nor any folder in it has a folder {marker}{images}")
        return {folder.name: folder for folder in folders}


def _table(file: Path) -> ImageList:
    return ImageList(file=file, folder=file.parent, columns={})

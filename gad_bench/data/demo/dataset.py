"""The data set `demo`: draws a category's photographs on first use, in MVTec layout."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.files import TEMPORARY
from gad_bench.data.catalog import (
    GOOD,
    CategoryFacts,
    category_facts,
    make_catalog,
    unknown_category,
)
from gad_bench.data.demo.photograph import photograph_defective, photograph_good
from gad_bench.data.demo.products import PRODUCTS
from gad_bench.data.layouts import mvtec_rows


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Generated photographs of made-up goods.

    Attributes:
        name: the data set's name in reports.
        root: the folder that the categories' folders are drawn into.
        seed: of the pictures.
        train: good images for training, a category.
        test_good: good images for the test, a category.
        test_defective: images of each kind of defect for the test.
        shared: the facts that all categories share, as `CategoryFacts` has them.
        categories: each category with the facts in which it differs.
    """

    name: str
    root: str
    seed: int
    train: int
    test_good: int
    test_defective: int
    shared: dict[str, Any]
    categories: dict[str, Any]

    def __post_init__(self) -> None:
        for key in ("train", "test_good", "test_defective"):
            if getattr(self, key) < 1:
                raise UserError(f"dataset.{key} must be at least 1, not {getattr(self, key)}")
        if self.seed < 0:
            raise UserError(f"dataset.seed must be at least 0, not {self.seed}")

    def category_names(self) -> list[str]:
        """Return the categories in the configuration's order."""
        return list(self.categories)

    def catalog(self, category: str) -> pd.DataFrame:
        """Return the category's images, drawn now if they aren't there.

        Raises:
            UserError: the category is unknown, or the folder cannot be written.
        """
        self._require(category)
        variant = f"{self.seed}-{self.train}-{self.test_good}-{self.test_defective}"
        folder = Path(self.root).expanduser().absolute() / variant / category
        try:
            self._draw_once(folder, category)
        except OSError as error:
            raise UserError(
                f"the demo's images cannot be written to {folder}: {error.strerror}: "
                "set cache_dir=PATH to a folder that can be written"
            ) from error
        return make_catalog(mvtec_rows(folder, category), str(folder))

    def facts(self, category: str) -> CategoryFacts:
        """Return what is special about the category."""
        self._require(category)
        return category_facts(category, self.shared, self.categories)

    def _require(self, category: str) -> None:
        if category not in self.categories or category not in PRODUCTS:
            known = [name for name in self.categories if name in PRODUCTS]
            raise unknown_category(self.name, category, known)

    def _draw_once(self, folder: Path, category: str) -> None:
        """Draw the category into a temporary folder and rename it: it is whole or absent."""
        if folder.is_dir():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{category}.lock"):
            if folder.is_dir():
                return
            temporary = folder.with_name(f"{TEMPORARY}{category}")
            shutil.rmtree(temporary, ignore_errors=True)  # the lock is ours: a dead process left it
            try:
                self._draw(temporary, category)
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _draw(self, folder: Path, category: str) -> None:
        defects = PRODUCTS[category].flaws
        for number in range(self.train + self.test_good):
            split = "train" if number < self.train else "test"
            picture = photograph_good(category, self.seed, number)
            _write(folder / split / GOOD / f"{number:03}.png", picture)
        first = self.train + self.test_good
        for kind, defect in enumerate(defects):
            for number in range(self.test_defective):
                piece = first + kind * self.test_defective + number
                picture, mask = photograph_defective(category, self.seed, piece, defect)
                _write(folder / "test" / defect / f"{number:03}.png", picture)
                _write(folder / "ground_truth" / defect / f"{number:03}_mask.png", mask)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = picture[..., ::-1] if picture.ndim == 3 else picture
    path.write_bytes(cv2.imencode(".png", ordered)[1].tobytes())

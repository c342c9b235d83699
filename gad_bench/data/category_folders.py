"""What published data sets have in common: known categories, each a folder under one root."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gad_bench.base.errors import UserError
from gad_bench.data.catalog import (
    CategoryFacts,
    ImageRow,
    category_facts,
    make_catalog,
    unknown_category,
)
from gad_bench.data.folders import data_root


@dataclass(frozen=True, kw_only=True)
class CategoryFolders(ABC):
    """A data set of known categories; a layout says which images a category's folder holds.

    Attributes:
        name: its name in reports.
        root: the folder that holds the categories' folders; of a data set of one category, that
            category's own folder will do.
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
        folder = self._folder(category)
        return make_catalog(self.rows(folder, category), str(folder))

    def facts(self, category: str) -> CategoryFacts:
        """Return what is special about the category."""
        self._require(category)
        return category_facts(category, self.shared, self.categories)

    @abstractmethod
    def rows(self, folder: Path, category: str) -> Iterable[ImageRow]:
        """Return the images of a category, in any order.

        Raises:
            UserError: the folder is not laid out as it should be.
        """

    def _require(self, category: str) -> None:
        if category not in self.categories:
            raise unknown_category(self.name, category, self.categories)

    def _folder(self, category: str) -> Path:
        root = data_root(self.root, self.name, self.hint)
        folder = root / category
        if folder.is_dir():
            return folder
        if len(self.categories) == 1:
            return root
        raise UserError(f"data set {self.name}: there is no folder {folder}: {self.hint}")

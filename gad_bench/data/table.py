"""A CSV file that lists images: path,label,split and, where known, category, defect and mask."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gad_bench.base.errors import UserError
from gad_bench.base.files import open_regular
from gad_bench.data.catalog import GOOD, ImageRow, Subset
from gad_bench.data.category_folders import CategoryFolders

REQUIRED = ("path", "label", "split")
OPTIONAL = ("category", "defect", "mask")
LABELS = {"0": 0, "good": 0, "normal": 0, "1": 1, "bad": 1, "anomaly": 1, "anomalous": 1}
SUBSETS: dict[str, Subset] = {"train": "train", "validation": "validation", "test": "test"}
UNNAMED_DEFECT = "anomalous"


@dataclass(frozen=True, kw_only=True)
class ImageList:
    """A CSV file, its columns' own names, and the folder that its paths start from."""

    file: Path
    folder: Path
    columns: Mapping[str, str]

    def categories(self) -> list[str]:
        """Return the categories that the file names, sorted; none where it has no such column.

        Raises:
            UserError: the file cannot be read, or only some lines name a category.
        """
        lines = {line.text("category"): line for line in self._lines()}
        if "" in lines and len(lines) > 1:
            raise lines[""].error("category is empty")
        return sorted(lines.keys() - {""})

    def rows(self, category: str) -> Iterator[ImageRow]:
        """Yield the images that the file lists: a category's, or all where it names none.

        Raises:
            UserError: a column or an image is missing, a value is unknown or contradicts another,
                or an image is listed twice; names the file and the line.
        """
        listed: dict[str, int] = {}
        for line in self._lines():
            if line.text("category") not in ("", category):
                continue
            row = line.row(category)
            first = listed.setdefault(row.path, line.number)
            if first != line.number:
                raise line.error(f"{row.path} is listed already, in line {first}")
            yield row

    def _lines(self) -> Iterator[_Line]:
        try:
            with open_regular(self.file) as content:
                file = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
                reader = csv.DictReader(file, skipinitialspace=True)
                self._check_columns(reader.fieldnames or [])
                for record in reader:
                    yield _Line(self, reader.line_num, record)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"{self.file} cannot be read as CSV in UTF-8: {reason}") from error

    def _check_columns(self, found: Sequence[str]) -> None:
        needed = [self.columns.get(name, name) for name in REQUIRED]
        missing = [name for name in needed if name not in found]
        if missing:
            optional = [self.columns.get(name, name) for name in OPTIONAL]
            raise UserError(
                f"{self.file} has no column {', '.join(missing)}: its first line must name "
                f"{','.join(needed)}[,{','.join(optional)}], separated by commas; "
                f"it names {', '.join(found)}"
            )


@dataclass(frozen=True, kw_only=True)
class Listed(CategoryFolders):
    """A data set of known categories with one CSV file that lists their images.

    Attributes:
        table: the file, within the root.
        columns: what it calls path, label, split, category, defect and mask, where it has another
            name for them.
    """

    table: str
    columns: dict[str, str]

    def rows(self, folder: Path, category: str) -> Iterator[ImageRow]:
        """Yield the images that the file lists for a category."""
        root = folder.parent
        return ImageList(file=root / self.table, folder=root, columns=self.columns).rows(category)


Choice = TypeVar("Choice")


@dataclass(frozen=True)
class _Line:
    """One line of the table, and where it stands."""

    table: ImageList
    number: int
    record: dict[str, Any]

    def row(self, category: str) -> ImageRow:
        if not self.text("path"):
            raise self.error("path is empty")
        label = self._choice("label", LABELS)
        split = self._choice("split", SUBSETS)
        defect, mask = self.text("defect"), self.text("mask")
        if label == 0 and (mask or defect not in ("", GOOD)):
            raise self.error("a good image has no defect and no mask")
        if label == 1 and split != "test":
            raise self.error("only test images may be anomalous (contamination= moves some)")
        if label == 1 and defect == GOOD:
            raise self.error("an anomalous image's defect cannot be 'good'")
        return ImageRow(
            path=self._file(self.text("path")),
            category=category,
            split=split,
            label=label,
            defect=defect or (UNNAMED_DEFECT if label else GOOD),
            mask=self._file(mask) if mask else "",
        )

    def error(self, reason: str) -> UserError:
        return UserError(f"{self.table.file}, line {self.number}: {reason}")

    def text(self, column: str) -> str:
        """Return what the line has in one of our columns, "" where it has nothing."""
        return (self.record.get(self.table.columns.get(column, column)) or "").strip()

    def _choice(self, column: str, choices: dict[str, Choice]) -> Choice:
        value = self.text(column)
        if value.lower() not in choices:
            raise self.error(f"{column} is {value!r}: it must be one of {', '.join(choices)}")
        return choices[value.lower()]

    def _file(self, name: str) -> str:
        path = Path(os.path.normpath(self.table.folder.absolute() / name))
        if not path.is_file():
            raise self.error(f"there is no file {path}")
        return str(path)

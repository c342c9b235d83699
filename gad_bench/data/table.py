"""A CSV file that lists images: path,label,split and, where known, defect and mask."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gad_bench.data.catalog import GOOD, ImageRow, Split
from gad_bench.errors import UserError

REQUIRED = ("path", "label", "split")
LABELS = {"0": 0, "good": 0, "normal": 0, "1": 1, "bad": 1, "anomalous": 1}
SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
UNNAMED_DEFECT = "anomalous"


def table_rows(table: Path, category: str) -> Iterator[ImageRow]:
    """Yield the images that a CSV file lists; its paths are relative to its own folder.

    Raises:
        UserError: a column or an image is missing, a value is unknown or contradicts another, or
            an image is listed twice; names the file and the line.
    """
    lines: dict[str, int] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            _check_columns(table, reader.fieldnames or [])
            for record in reader:
                line = _Line(table, reader.line_num, record)
                row = line.row(category)
                first = lines.setdefault(row.path, line.number)
                if first != line.number:
                    raise line.error(f"{row.path} is listed already, in line {first}")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read as CSV in UTF-8: {error}") from error


def _check_columns(table: Path, columns: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise UserError(
            f"{table} has no column {', '.join(missing)}: its first line must name "
            f"path,label,split[,defect,mask], separated by commas; it names {', '.join(columns)}"
        )


Choice = TypeVar("Choice")


@dataclass(frozen=True)
class _Line:
    """One line of the table, and where it stands."""

    table: Path
    number: int
    record: dict[str, Any]

    def row(self, category: str) -> ImageRow:
        if not self._text("path"):
            raise self.error("path is empty")
        label = self._choice("label", LABELS)
        split = self._choice("split", SPLITS)
        defect, mask = self._text("defect"), self._text("mask")
        if label == 0 and (mask or defect not in ("", GOOD)):
            raise self.error("a good image has no defect and no mask")
        if label == 1 and split == "train":
            raise self.error("training images must be good (contamination= adds anomalous ones)")
        if label == 1 and defect == GOOD:
            raise self.error("an anomalous image's defect cannot be 'good'")
        return ImageRow(
            path=self._file(self._text("path")),
            category=category,
            split=split,
            label=label,
            defect=defect or (UNNAMED_DEFECT if label else GOOD),
            mask=self._file(mask) if mask else "",
        )

    def error(self, reason: str) -> UserError:
        return UserError(f"{self.table}, line {self.number}: {reason}")

    def _text(self, column: str) -> str:
        return (self.record.get(column) or "").strip()

    def _choice(self, column: str, choices: dict[str, Choice]) -> Choice:
        value = self._text(column)
        if value.lower() not in choices:
            raise self.error(f"{column} is {value!r}: it must be one of {', '.join(choices)}")
        return choices[value.lower()]

    def _file(self, name: str) -> str:
        path = Path(os.path.normpath(self.table.parent.absolute() / name))
        if not path.is_file():
            raise self.error(f"there is no file {path}")
        return str(path)

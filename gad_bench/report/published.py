"""Published figures, found by the settings of a cell's runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gad_bench.report.cells import Cell
from gad_bench.report.measures import ALL
from gad_bench.report.runs import same_value

FIGURES = Path(__file__).with_name("published.csv")
SOURCES = Path(__file__).with_name("published.yaml")
NOT_SETTINGS = ("source", "table", "category", "block", "auroc", "sem")


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published figure.

    Attributes:
        source: the key of its source.
        table: its table there.
        settings: the keys that a run must have to be compared with it.
        category: the category, "" for the mean over all.
        categories: how many categories the source's data set has.
        block: its number, or "all".
        auroc: in percent.
        sem: of the mean over categories, where it is given.
    """

    source: str
    table: str
    settings: Mapping[str, str]
    category: str
    categories: int
    block: str
    auroc: float
    sem: float | None


@cache
def figures() -> list[Published]:
    """Return all published figures."""
    with FIGURES.open(encoding="utf-8", newline="") as file:
        return [_figure(row) for row in csv.DictReader(file)]


@cache
def catalogue() -> dict[str, Any]:
    """Return the sources of the figures, and the relatives' figures."""
    return dict(yaml.safe_load(SOURCES.read_text(encoding="utf-8")))


def published(cell: Cell) -> Published | None:
    """Return the published figure of the same settings, block and categories as a cell's."""
    keys, found = cell.entries[0].run.keys, cell.entries[0].measure
    if found.metric != "auroc" or found.sigma:
        return None
    if found.block == ALL and keys.get("blocks.indices", "None") != "None":
        return None
    categories = {entry.run.keys["category"] for entry in cell.entries}
    return next(
        (
            figure
            for figure in figures()
            if figure.block == found.block
            and _covers(figure, categories)
            and all(_allows(value, keys.get(key, "")) for key, value in figure.settings.items())
        ),
        None,
    )


def difference(cell: Cell, figure: Published) -> float | None:
    """Return ours minus the published, None where ours lacks runs."""
    return cell.mean - figure.auroc if cell.complete and cell.mean is not None else None


def _allows(allowed: str, value: str) -> bool:
    return any(same_value(value, one) for one in allowed.split("|"))


def _covers(figure: Published, categories: set[str]) -> bool:
    if figure.category:
        return categories == {figure.category}
    return len(categories) == figure.categories


def _figure(row: Mapping[str, str]) -> Published:
    source = catalogue()["sources"][row["source"]]
    own = {key: value for key, value in row.items() if value and key not in NOT_SETTINGS}
    return Published(
        source=row["source"],
        table=row["table"],
        settings={**source["settings"], **own},
        category=row["category"],
        categories=source["categories"],
        block=row["block"],
        auroc=float(row["auroc"]),
        sem=float(row["sem"]) if row["sem"] else None,
    )

"""Published figures, found by the settings of a cell's runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gad_bench.report.frame import ALL, Measure, same_value

FIGURES = Path(__file__).with_name("published.csv")
SOURCES = Path(__file__).with_name("published.yaml")
DATASET = "dataset.name"
NOT_SETTINGS = ("source", "table", "category", "block", "auroc", "sem", "metric")
METRICS = ("auroc", "pixel_auroc")


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
        auroc: in percent; of images, or of pixels.
        sem: of the mean over categories, where it is given.
        computation: the choice of that group by which it was made; "" for another program's own.
        metric: auroc, or pixel_auroc.
    """

    source: str
    table: str
    settings: Mapping[str, str]
    category: str
    categories: int
    block: str
    auroc: float
    sem: float | None
    computation: str
    metric: str


@cache
def figures() -> list[Published]:
    """Return all published figures."""
    with FIGURES.open(encoding="utf-8", newline="") as file:
        return [_figure(row) for row in csv.DictReader(file)]


@cache
def catalogue() -> dict[str, Any]:
    """Return the sources of the figures, and the relatives' figures."""
    return dict(yaml.safe_load(SOURCES.read_text(encoding="utf-8")))


def published(
    keys: Mapping[str, str], measure: Measure, categories: frozenset[str]
) -> Published | None:
    """Return the published figure of the same settings, measure and categories.

    Args:
        keys: of the runs.
        measure: what was measured.
        categories: that the runs cover.
    """
    if measure.metric not in METRICS or measure.sigma:
        return None
    if measure.block == ALL and _combines_a_choice(keys):
        return None
    return next(
        (
            figure
            for figure in figures()
            if figure.block == measure.block
            and figure.metric == measure.metric
            and _covers(figure, categories)
            and not _differing(figure, keys)
        ),
        None,
    )


def why_none(keys: Mapping[str, str], measure: Measure, categories: frozenset[str]) -> str:
    """Return why `published` finds no figure, by the one that is nearest."""
    if measure.metric not in METRICS or measure.sigma:
        return "no rate is known to us, only AUROC"
    if measure.block == ALL and _combines_a_choice(keys):
        return "a choice of blocks is combined: the figures are of all"
    of_block = [
        figure
        for figure in figures()
        if figure.block == measure.block and figure.metric == measure.metric
    ]
    nearest = min(of_block, key=lambda figure: len(_differing(figure, keys)), default=None)
    if nearest is None:
        return f"no figure is known to us of block {measure.block}"
    differing = _differing(nearest, keys)
    if DATASET in differing:
        return (
            f"the figures are of {differing[DATASET]}, the runs of {keys.get(DATASET, 'another')}"
        )
    if differing:
        settings = ", ".join(f"{key}={keys.get(key) or 'none'}" for key in differing)
        return f"no figure is known to us with {settings}"
    return _uncovered(nearest, categories)


def _combines_a_choice(keys: Mapping[str, str]) -> bool:
    """Tell whether a detector of vectors is fitted on some blocks; one on patches names its own."""
    return keys.get("blocks.indices", "None") != "None" and not keys.get("detector.blocks")


def _uncovered(figure: Published, categories: frozenset[str]) -> str:
    if len(categories) == 1:
        return (
            f"of single categories no figure is known to us, only the mean over {figure.categories}"
        )
    known = {other.category for other in figures() if other.category}
    lacking = ", ".join(sorted(known - categories))
    return f"{len(categories)} of {figure.categories} categories: without {lacking}"


def _differing(figure: Published, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that a figure's have and the keys have not."""
    return {
        key: value
        for key, value in figure.settings.items()
        if not _allows(value, keys.get(key, ""))
    }


def _allows(allowed: str, value: str) -> bool:
    return any(same_value(value, choice) for choice in allowed.split("|"))


def _covers(figure: Published, categories: frozenset[str]) -> bool:
    if figure.category:
        return categories == {figure.category}
    return len(categories) == figure.categories


def _figure(row: Mapping[str, str]) -> Published:
    source = catalogue()["sources"][row["source"]]
    settings = {key: value for key, value in row.items() if value and key not in NOT_SETTINGS}
    return Published(
        source=row["source"],
        table=row["table"],
        settings={**source["settings"], **settings},
        category=row["category"],
        categories=source["categories"],
        block=row["block"],
        auroc=float(row["auroc"]),
        sem=float(row["sem"]) if row["sem"] else None,
        computation=source.get("computation", ""),
        metric=row["metric"] or "auroc",
    )

"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gad_bench.report import plots, text
from gad_bench.report.cells import Cell, Label
from gad_bench.report.measures import ALL
from gad_bench.report.published import catalogue, published
from gad_bench.report.report import Report
from gad_bench.report.statistics import Ranking, rank_settings
from gad_bench.report.tables import Table, margin

TEMPLATE = Path(__file__).with_name("page.html")
DOT_WORDS = "A dot is the mean over folds."
INTERVAL_WORDS = (
    "A large dot is the mean over folds, small ones are folds. Lines are 95 % bootstrap intervals "
    "over the test images, the folds' ends averaged: what another test set of the same size "
    "might have given."
)
LINE_WORDS = "Points are means over categories; bands and bars are their standard errors."
RATE_WORDS = (
    "If good images' features were Gaussian, 1 sigma would raise a false alarm for 31.7 % of them, "
    "2 sigma for 4.6 %, 3 sigma for 0.3 %."
)


class Figure(NamedTuple):
    """A plot and the words below it."""

    svg: str
    words: str


class Section(NamedTuple):
    """A table and its plots."""

    table: Table
    figures: list[Figure]


class Box(NamedTuple):
    """One cell as the page shows it."""

    value: str
    lacking: str
    beside: str
    shade: float  # 0 the table's least value, 1 its greatest
    order: float  # by which the column is sorted
    best: bool


def render_page(report: Report) -> str:
    """Return the page."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.globals.update(caption=text.caption, boxes=boxes, head_of=text.head_of)
    sources, relatives = references(report)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        title=report.tables[0].layout.title,
        facts=facts(report),
        unfinished=list(text.unfinished(report.tables[0])),
        sections=sections(report),
        sources=sources,
        relatives=relatives,
    )


def facts(report: Report) -> dict[str, str]:
    """Return what the runs have in common, and how many there are."""
    keys = ("dataset", "backbone", "augmentation", "reduction", "covariance")
    shown = {"runs": report.tables[0].count_text, "source": report.source}
    for key in keys:
        values = dict.fromkeys(run.keys.get(key, "") for run in report.runs)
        shown[key] = ", ".join(value for value in values if value)
    return shown


def boxes(table: Table) -> list[tuple[Label, list[Box | None]]]:
    """Return each row's label and cells."""
    means = [cell.mean for cell in table.cells.values() if cell.mean is not None]
    low, high = min(means, default=0.0), max(means, default=1.0)
    best = table.layout.rows == ("category",) and len(table.columns) > 1
    return [
        (label, [_box(cell, low, high, cells if best else ()) for cell in cells])
        for label, cells in text.rows_of(table)
    ]


def sections(report: Report) -> list[Section]:
    """Return the tables with their plots; one that only turns another round lends it its plots."""
    found: dict[frozenset[str], Section] = {}
    for table in report.tables:
        section = found.setdefault(frozenset(table.layout.axes), Section(table, []))
        section.figures.extend(figures(table))
    return list(found.values())


def figures(table: Table) -> list[Figure]:
    """Return the plots that a table admits."""
    if table.layout.rows == ("block", "sigma") and table.layout.columns[-1] == "metric":
        return [Figure(plots.draw_rates(table), RATE_WORDS)]
    if table.layout.rows == ("category",):
        words = INTERVAL_WORDS if plots.stand_apart(table) else DOT_WORDS
        dots = Figure(plots.draw_categories(table), words)
        ranking = _ranking(table)
        if ranking is None:
            return [dots]
        return [dots, Figure(plots.draw_ranking(ranking), ranking_words(ranking, table))]
    if _runs_along_numbers(table):
        return [Figure(plots.draw_lines(table), LINE_WORDS)]
    return []


def ranking_words(ranking: Ranking, table: Table) -> str:
    """Return what a ranking says, in words."""
    left_out = len(table.rows) - ranking.categories
    words = f"Mean ranks over {ranking.categories} categories, 1 is best"
    if left_out:
        words += f" ({left_out} left out, whose runs are not all finished)"
    words += f". {ranking.test}: p = {ranking.p_value:.2g}. "
    if ranking.p_value >= 0.05:
        return words + "No difference between the settings is shown at the level of 5 %."
    if ranking.critical_difference:
        return words + (
            f"A bar joins settings whose ranks differ by less than Nemenyi's critical difference, "
            f"{ranking.critical_difference:.2f} at the level of 5 %."
        )
    return words + "The two settings differ at the level of 5 %."


def references(report: Report) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the sources of the published figures in the tables, and other methods' figures."""
    cells = [cell for table in report.tables for cell in table.cells.values()]
    cells += [cell for table in report.tables for _, cell in margin(table)]
    used = dict.fromkeys(figure.source for cell in cells if (figure := published(cell)))
    known = catalogue()
    on_mvtec = any(run.keys.get("dataset.name") == "mvtec_ad" for run in report.runs)
    return [known["sources"][key] for key in used], known["relatives"] if on_mvtec else []


def _ranking(table: Table) -> Ranking | None:
    """Rank the columns over the categories in which each is complete."""
    rows = [[table.cells.get((row, column)) for column in table.columns] for row in table.rows]
    values = [[cell.mean for cell in cells if cell is not None and cell.complete] for cells in rows]
    complete = [row for row in values if len(row) == len(table.columns)]
    names = [text.label_text(column) for column in table.columns]
    return rank_settings(names, np.array(complete, dtype=np.float64).reshape(-1, len(names)))


def _runs_along_numbers(table: Table) -> bool:
    values = [row[0] for row in table.rows if row[0] != ALL]
    if len(table.layout.rows) != 1 or len(values) < 2:
        return False
    try:
        return all(np.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def _box(cell: Cell | None, low: float, high: float, rivals: Sequence[Cell | None]) -> Box | None:
    if cell is None:
        return None
    figure = published(cell)
    means = [rival.mean for rival in rivals if rival is not None and rival.mean is not None]
    return Box(
        value=text.value_text(cell),
        lacking=cell.lacking,
        beside=text.published_text(cell, figure) if figure else "",
        shade=0.0 if cell.mean is None or high == low else (cell.mean - low) / (high - low),
        order=-1.0 if cell.mean is None else cell.mean,
        best=cell.mean is not None and cell.mean == max(means, default=None),
    )

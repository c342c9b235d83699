"""Which plots a table admits, and the words below them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure as Plot

from gad_bench.report import plots, text
from gad_bench.report.measures import ALL
from gad_bench.report.ranking_plot import draw_ranking
from gad_bench.report.statistics import LEVEL, Ranking, rank_settings
from gad_bench.report.tables import Table

DOT_WORDS = "A dot is the mean over folds."
INTERVAL_WORDS = (
    "A large dot is the mean over folds, small ones are folds. Lines are 95 % bootstrap intervals "
    "over the test images, the folds' ends averaged: what another test set of the same size "
    "might have given."
)
LINE_WORDS = "Points are means over categories; bands and bars are their standard errors."
HOLLOW_WORDS = " Hollow points lack runs."
RATE_WORDS = (
    "If good images' features were Gaussian, 1 sigma would raise a false alarm for 31.7 % of them, "
    "2 sigma for 4.6 %, 3 sigma for 0.3 %."
)


class Figure(NamedTuple):
    """A plot, the name of its file and the words below it."""

    name: str
    plot: Plot
    words: str


def figures(table: Table) -> list[Figure]:
    """Return the plots that a table admits."""
    name = table.layout.name
    hollow = "" if all(cell.complete for cell in table.cells.values()) else HOLLOW_WORDS
    if table.layout.rows == ("block", "sigma") and table.layout.columns[-1] == "metric":
        return [Figure(f"{name}_rates", plots.draw_rates(table), RATE_WORDS)]
    if table.layout.rows == ("category",):
        words = INTERVAL_WORDS if plots.stand_apart(table) else DOT_WORDS
        dots = Figure(f"{name}_dots", plots.draw_categories(table), words + hollow)
        ranking = _ranking(table)
        if ranking is None:
            return [dots]
        return [
            dots,
            Figure(f"{name}_ranking", draw_ranking(ranking), ranking_words(ranking, table)),
        ]
    if _runs_along_numbers(table):
        return [Figure(f"{name}_lines", plots.draw_lines(table), LINE_WORDS + hollow)]
    return []


def ranking_words(ranking: Ranking, table: Table) -> str:
    """Return what a ranking says, in words."""
    left_out = len(table.rows) - ranking.categories
    words = f"Mean ranks over {ranking.categories} categories, 1 is best"
    if left_out:
        words += f" ({left_out} left out, whose runs are not all finished)"
    words += f". {ranking.test}: p = {ranking.p_value:.2g}. "
    if ranking.p_value >= LEVEL:
        return words + "No difference between the settings is shown at the level of 5 %."
    if ranking.critical_difference:
        return words + (
            f"A bar joins settings whose ranks differ by less than Nemenyi's critical difference, "
            f"{ranking.critical_difference:.2f} at the level of 5 %."
        )
    return words + "The two settings differ at the level of 5 %."


def _ranking(table: Table) -> Ranking | None:
    """Rank the columns over the categories in which each is complete."""
    if not table.higher_is_better:
        return None
    rows = [[table.cells.get((row, column)) for column in table.columns] for row in table.rows]
    values = [[cell.mean for cell in cells if cell is not None and cell.complete] for cells in rows]
    complete = [row for row in values if len(row) == len(table.columns)]
    names = [text.column_text(table, column) for column in table.columns]
    return rank_settings(names, np.array(complete, dtype=np.float64).reshape(-1, len(names)))


def _runs_along_numbers(table: Table) -> bool:
    values = [row[0] for row in table.rows if row[0] != ALL]
    if len(table.layout.rows) != 1 or len(values) < 2:
        return False
    try:
        return all(np.isfinite(float(value)) for value in values)
    except ValueError:
        return False

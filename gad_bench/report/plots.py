"""The pictures of a table: lines along numbers, categories as dots, rates at sigma, mean ranks."""

from __future__ import annotations

from itertools import cycle
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gad_bench.evaluation.paired import ALIKE
from gad_bench.report.cost import cost_words, draw_cost, has_cost
from gad_bench.report.draws import DRAW, DRAWN, draw_along_draws, words_of_draws
from gad_bench.report.frame import ALL
from gad_bench.report.ranking import Ranking, draw_ranking, rank_settings
from gad_bench.report.style import (
    COLOURS,
    PALE,
    STYLE,
    add_legend,
    beside_legend,
    colours,
    new_figure,
    plain_axes,
)
from gad_bench.report.tables import Cell, Label, Table
from gad_bench.report.text import NAMES, column_text, label_text, metric_text, row_text

MOST_BANDS = 4  # lines that are drawn with a band
LINE_STYLES = ("-", "--", ":", "-.")
MOST_LETTERS = 60  # of a row's name beside a plot
MOST_APART = 6  # settings that are drawn beside each other, with intervals
DOT_WORDS = "A dot is the mean over folds."
INTERVAL_WORDS = (
    "A large dot is the mean over folds, small ones are folds. Lines are 95 % bootstrap intervals "
    "over the test images, the folds' ends averaged: what another test set of the same size "
    "might have given."
)
LINE_WORDS = "Points are means over categories; bands and bars are their standard errors."
RANKED_WORDS = (
    "Points are means over categories, lines their standard errors; of one category, lines are the "
    "95 % bootstrap interval over the test images."
)
HOLLOW_WORDS = " Hollow points lack runs."
RATE_WORDS = (
    "If good images' features were Gaussian, 1 sigma would raise a false alarm for 31.7 % of them, "
    "2 sigma for 4.6 %, 3 sigma for 0.3 %. Bands, where one category is shown by one setting, are "
    "the 95 % intervals over its test images."
)


class Picture(NamedTuple):
    """A plot, the name of its file and the words below it."""

    name: str
    plot: Figure
    words: str


def draw_table(table: Table) -> list[Picture]:
    """Return the plots that a table admits."""
    name = table.layout.name
    drawn = table.cells[table.cells["finished"] > 0]
    hollow = "" if drawn["complete"].all() else HOLLOW_WORDS
    if table.layout.ranked:
        return [_ranked_picture(table, hollow)]
    if table.layout.rows == ("block", "sigma") and table.layout.columns[-1] == "metric":
        return [Picture(f"{name}_rates", draw_rates(table), RATE_WORDS)]
    if table.layout.rows == ("category",):
        words = INTERVAL_WORDS if stand_apart(table) else DOT_WORDS
        dots = Picture(f"{name}_dots", draw_categories(table), words + hollow)
        ranking = _ranking(table)
        ranks = [] if ranking is None else [ranking]
        return [dots, *(_ranking_picture(name, own, table) for own in ranks)]
    if table.layout.rows in DRAWN and DRAW in table.runs:
        words = words_of_draws(table) + hollow
        return [Picture(f"{name}_{DRAWN[table.layout.rows]}", draw_along_draws(table), words)]
    if _runs_along_numbers(table):
        return [Picture(f"{name}_lines", draw_lines(table), LINE_WORDS + hollow)]
    return []


def _ranked_picture(table: Table, hollow: str) -> Picture:
    name = table.layout.name
    if has_cost(table):
        return Picture(f"{name}_front", draw_cost(table), cost_words(table))
    return Picture(f"{name}_intervals", draw_ranked(table), RANKED_WORDS + hollow)


def _ranking_picture(name: str, ranking: Ranking, table: Table) -> Picture:
    return Picture(f"{name}_ranking", draw_ranking(ranking), ranking_words(ranking, table))


def ranking_words(ranking: Ranking, table: Table) -> str:
    """Return what a ranking says, in words."""
    left_out = len(table.rows) - ranking.categories
    words = f"Mean ranks over {ranking.categories} categories, 1 is best"
    if left_out:
        words += f" ({left_out} left out, whose runs are not all finished)"
    words += ". Pairs are compared by Wilcoxon's signed-rank test with Holm's correction, at 5 %. "
    if ranking.least_possible >= ALIKE:
        return words + (
            f"{ranking.categories} categories cannot show a difference between "
            f"{len(ranking.names)} settings, whatever their values."
        )
    if ranking.groups == [(0, len(ranking.names) - 1)]:
        return words + "No difference between the settings is shown."
    return (
        words
        + "A bar joins settings of which no two are told apart"
        + ("." if ranking.groups else "; here all are.")
    )


def _ranking(table: Table) -> Ranking | None:
    """Rank the columns over the categories in which each is complete."""
    if not table.higher_is_better:
        return None
    cells = table.cells[table.cells["complete"]]
    means = cells.pivot(index="row", columns="column", values="mean")
    means = means.reindex(index=list(table.rows), columns=list(table.columns)).dropna()
    names = [column_text(table, column) for column in table.columns]
    return rank_settings(names, means.to_numpy())


def _runs_along_numbers(table: Table) -> bool:
    values = [row[0] for row in table.rows if row[0] != ALL]
    if len(table.layout.rows) != 1 or len(values) < 2:
        return False
    try:
        return all(np.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def draw_lines(table: Table) -> Figure:
    """Draw each column's mean and SEM along rows that are numbers; "all" stands apart."""
    with rc_context(STYLE):
        count = len(table.columns)
        figure = new_figure(beside_legend(3.9, count))
        axes = plain_axes(figure)
        numbers = [row[0] for row in table.rows if row[0] != ALL]
        step = float(np.diff([float(number) for number in numbers]).min())
        end = float(numbers[-1]) + 1.5 * step
        for place, (column, colour) in enumerate(zip(table.columns, colours(count), strict=True)):
            _draw_line(axes, table, column, colour)
            if cell := table.cell((ALL,), column):
                _draw_end(axes, end + 0.5 * step * ((place + 0.5) / count - 0.5), cell, colour)
        ticks = [(float(number), number) for number in numbers]
        ticks += [(end, ALL)] if (ALL,) in table.rows else []
        axes.set_xticks(*zip(*ticks, strict=True))
        axes.set(xlabel=table.layout.rows[0], ylabel=metric_text(table))
        axes.grid(axis="y", color=PALE, linewidth=0.7)
        add_legend(axes, count)
        return figure


def draw_ranked(table: Table) -> Figure:
    """Draw the first metric of each row as a point with its interval, the best at the top."""
    with rc_context(STYLE):
        figure = new_figure(0.8 + 0.2 * len(table.rows))
        axes = plain_axes(figure)
        for place, row in enumerate(table.rows):
            cell = table.cell(row, table.columns[0])
            if cell is None or not cell.finished:
                continue
            sem = 0.0 if pd.isna(cell.sem) else cell.sem
            whole = cell.categories == 1 and pd.notna(cell.low)
            ends = (cell.low, cell.high) if whole else (cell.mean - sem, cell.mean + sem)
            axes.plot(ends, [place] * 2, color=COLOURS[0], linewidth=1.3, alpha=0.7)
            axes.plot(cell.mean, place, "o", color=COLOURS[0], markersize=5)
            _hollow_out(axes, cell.mean, place, cell, COLOURS[0])
        names = [
            shorten(row_text(table, row), MOST_LETTERS, placeholder=" …") for row in table.rows
        ]
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set(xlabel=column_text(table, table.columns[0]))
        axes.grid(axis="x", color=PALE, linewidth=0.7)
        return figure


def stand_apart(table: Table) -> bool:
    """Tell whether the settings are few enough to be drawn beside each other, with intervals."""
    return len(table.columns) <= MOST_APART


def draw_categories(table: Table) -> Figure:
    """Draw each category's AUROC by setting: a dot the mean of the folds, small dots the folds.

    With few settings, lines are the mean of the folds' 95 % bootstrap intervals over test images.
    """
    apart = stand_apart(table)
    step = 0.8 / max(len(table.columns), 2) if apart else 0.0
    with rc_context(STYLE):
        height = 0.8 + len(table.rows) * (0.2 + (0.07 * len(table.columns) if apart else 0.06))
        figure = new_figure(beside_legend(height, len(table.columns)))
        axes = plain_axes(figure)
        for number, column in enumerate(table.columns):
            shift = step * (number - (len(table.columns) - 1) / 2)
            colour = colours(len(table.columns))[number]
            _draw_dots(axes, table, column, shift, colour, intervals=apart)
        axes.set_yticks(range(len(table.rows)), [label_text(row) for row in table.rows])
        axes.set_ylim(len(table.rows) - 0.5, -0.5)
        for line in range(1, len(table.rows)):
            axes.axhline(line - 0.5, color=PALE, linewidth=0.7)
        axes.set(xlabel=metric_text(table))
        axes.grid(axis="x", color=PALE, linewidth=0.7)
        add_legend(axes, len(table.columns))
        return figure


def draw_rates(table: Table) -> Figure:
    """Draw false and true positive rates over sigma, a panel a block, a line style a setting."""
    blocks = list(dict.fromkeys(row[0] for row in table.rows))
    settings = list(dict.fromkeys(column[:-1] for column in table.columns))
    across = min(3, len(blocks))
    down = -(-len(blocks) // across)
    with rc_context(STYLE):
        figure = new_figure(0.6 + 2.0 * down)
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for axes in panels[len(blocks) :]:
            axes.set_axis_off()
        for axes, block in zip(panels, blocks, strict=False):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color=PALE, linewidth=0.7)
            axes.set_title(f"block {block}", fontsize=9.5)
            axes.set(xlabel="sigma", ylabel="rate in %", ylim=(-3, 103))
            axes.label_outer()
            for setting, style in zip(settings, cycle(LINE_STYLES)):
                _draw_rates_of(axes, table, block, setting, style)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
        return figure


def _draw_line(axes: Axes, table: Table, column: Label, colour: Any) -> None:  # noqa: ANN401
    there = [(row[0], table.cell(row, column)) for row in table.rows if row[0] != ALL]
    points = [(float(at), cell) for at, cell in there if cell is not None and cell.finished]
    x = np.array([at for at, _ in points])
    mean = np.array([cell.mean for _, cell in points])
    axes.plot(
        x, mean, "o-", color=colour, markersize=4, linewidth=1.6, label=column_text(table, column)
    )
    if len(table.columns) <= MOST_BANDS:
        sem = np.nan_to_num(np.array([cell.sem for _, cell in points]))
        axes.fill_between(x, mean - sem, mean + sem, color=colour, alpha=0.12, linewidth=0)
    for at, cell in points:
        _hollow_out(axes, at, cell.mean, cell, colour)


def _draw_end(axes: Axes, at: float, cell: Cell, colour: Any) -> None:  # noqa: ANN401
    if cell.finished:
        sem = None if pd.isna(cell.sem) else cell.sem
        axes.errorbar(at, cell.mean, sem, fmt="o", color=colour, markersize=5, capsize=2.5)
        _hollow_out(axes, at, cell.mean, cell, colour)


def _hollow_out(axes: Axes, x: float, y: float, cell: Cell, colour: Any) -> None:  # noqa: ANN401
    """Mark the point of a cell that lacks runs."""
    if not cell.complete:
        axes.plot(x, y, "o", color=colour, markerfacecolor="white", markersize=5, zorder=5)


def _draw_dots(
    axes: Axes,
    table: Table,
    column: Label,
    shift: float,
    colour: Any,  # noqa: ANN401 - any colour of matplotlib's
    *,
    intervals: bool,
) -> None:
    rows = {row: place + shift for place, row in enumerate(table.rows)}
    there = [(row, cell) for row in rows if (cell := table.cell(row, column)) and cell.finished]
    places = [rows[row] for row, _ in there]
    if intervals:
        folds = [(value, rows[row]) for row, _ in there for value in table.folds(row, column)]
        axes.plot(*np.reshape(folds, (-1, 2)).T, ".", color=colour, alpha=0.45, markersize=3)
        ends = np.ravel([(cell.low, cell.high, np.nan) for _, cell in there])  # apart
        axes.plot(ends, np.repeat(places, 3), color=colour, linewidth=1.3, alpha=0.7)
    means = [cell.mean for _, cell in there]
    axes.plot(means, places, "o", color=colour, markersize=5, label=column_text(table, column))
    for place, (_, cell) in zip(places, there, strict=True):
        _hollow_out(axes, cell.mean, place, cell, colour)


def _draw_rates_of(axes: Axes, table: Table, block: str, setting: Label, style: str) -> None:
    for metric, colour in (("fpr", COLOURS[1]), ("tpr", COLOURS[0])):
        column = (*setting, metric)
        cells = [(row[1], table.cell(row, column)) for row in table.rows if row[0] == block]
        there = [(float(at), cell) for at, cell in cells if cell and cell.finished]
        if there:
            name = label_text((*setting, NAMES[metric]))
            at, rates = zip(*((at, cell.mean) for at, cell in there), strict=True)
            axes.plot(at, rates, style, color=colour, linewidth=1.6, label=name)
            if len(table.columns) == 2 and all(cell.categories == 1 for _, cell in there):
                low, high = zip(*((cell.low, cell.high) for _, cell in there), strict=True)
                axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)

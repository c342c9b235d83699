"""The report's plots of a table: lines along numbers, categories as dots, rates at sigma."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gad_bench.report.cells import Cell, Label
from gad_bench.report.drawing import (
    COLOURS,
    PALE,
    STYLE,
    add_legend,
    beside_legend,
    colours,
    new_figure,
    plain_axes,
)
from gad_bench.report.measures import ALL
from gad_bench.report.tables import Table
from gad_bench.report.text import NAMES, column_text, label_text, metric_text

MOST_BANDS = 4  # lines that are drawn with a band
LINE_STYLES = ("-", "--", ":", "-.")
MOST_APART = 6  # settings that are drawn beside each other, with intervals


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
            if cell := table.cells.get(((ALL,), column)):
                _draw_end(axes, end + 0.5 * step * ((place + 0.5) / count - 0.5), cell, colour)
        ticks = [(float(number), number) for number in numbers]
        ticks += [(end, ALL)] if (ALL,) in table.rows else []
        axes.set_xticks(*zip(*ticks, strict=True))
        axes.set(xlabel=table.layout.rows[0], ylabel=metric_text(table))
        axes.grid(axis="y", color=PALE, linewidth=0.7)
        add_legend(axes, count)
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
            cells = [table.cells.get((row, column)) for row in table.rows]
            _draw_dots(axes, cells, shift, colour, column_text(table, column), intervals=apart)
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
    found = [(row[0], table.cells.get((row, column))) for row in table.rows if row[0] != ALL]
    points = [(float(at), c.mean, c) for at, c in found if c is not None and c.mean is not None]
    x, mean, sem = np.array([(at, y, c.sem or 0.0) for at, y, c in points]).reshape(-1, 3).T
    name = column_text(table, column)
    axes.plot(x, mean, "o-", color=colour, markersize=4, linewidth=1.6, label=name)
    if len(table.columns) <= MOST_BANDS:
        axes.fill_between(x, mean - sem, mean + sem, color=colour, alpha=0.12, linewidth=0)
    for at, height, cell in points:
        _hollow_out(axes, at, height, cell, colour)


def _draw_end(axes: Axes, at: float, cell: Cell, colour: Any) -> None:  # noqa: ANN401
    if cell.mean is not None:
        axes.errorbar(at, cell.mean, cell.sem, fmt="o", color=colour, markersize=5, capsize=2.5)
        _hollow_out(axes, at, cell.mean, cell, colour)


def _hollow_out(axes: Axes, x: float, y: float, cell: Cell, colour: Any) -> None:  # noqa: ANN401
    """Mark the point of a cell that lacks runs."""
    if not cell.complete:
        axes.plot(x, y, "o", color=colour, markerfacecolor="white", markersize=5, zorder=5)


def _draw_dots(
    axes: Axes,
    cells: Sequence[Cell | None],
    shift: float,
    colour: Any,  # noqa: ANN401 - any colour of matplotlib's
    name: str,
    *,
    intervals: bool,
) -> None:
    for place, cell in enumerate(cells):
        if cell is None or cell.mean is None:
            continue
        if intervals:
            values = [entry.value for entry in cell.entries if entry.value is not None]
            axes.plot(
                values, [place + shift] * len(values), ".", color=colour, alpha=0.45, markersize=3
            )
            if ends := _interval(cell):
                axes.plot(ends, [place + shift] * 2, color=colour, linewidth=1.3, alpha=0.7)
        axes.plot(cell.mean, place + shift, "o", color=colour, markersize=5)
        _hollow_out(axes, cell.mean, place + shift, cell, colour)
    axes.plot([], [], "o", color=colour, label=name)


def _interval(cell: Cell) -> tuple[float, float] | None:
    found = cell.entries[0].measure
    if found.metric != "auroc" or found.block != ALL:
        return None
    runs = [entry.run.metrics for entry in cell.entries if "auroc_ci_low" in entry.run.metrics]
    if not runs:
        return None
    low = fmean(run["auroc_ci_low"] for run in runs)
    return 100 * low, 100 * fmean(run["auroc_ci_high"] for run in runs)


def _draw_rates_of(axes: Axes, table: Table, block: str, setting: Label, style: str) -> None:
    for metric, colour in (("fpr", COLOURS[1]), ("tpr", COLOURS[0])):
        column = (*setting, metric)
        cells = [(row[1], table.cells.get((row, column))) for row in table.rows if row[0] == block]
        points = [(float(at), cell.mean) for at, cell in cells if cell and cell.mean is not None]
        if points:
            name = label_text((*setting, NAMES[metric]))
            axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=1.6, label=name)

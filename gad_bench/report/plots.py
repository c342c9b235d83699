"""The report's plots, as SVG that stands in a page by itself."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gad_bench.report.cells import Cell, Label
from gad_bench.report.measures import ALL
from gad_bench.report.statistics import Ranking
from gad_bench.report.tables import Table
from gad_bench.report.text import caption_metric, keys_text, label_text

INK, PALE = "#3c4043", "#dadce0"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#444444")
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}
MOST_APART = 6  # settings that are drawn beside each other, with intervals


def draw_lines(table: Table) -> str:
    """Draw each column's mean and SEM along rows that are numbers; "all" stands apart, at the end."""
    with rc_context(STYLE):
        figure, axes = _figure(8.2, 3.9)
        numbers = [row[0] for row in table.rows if row[0] != ALL]
        spacing = np.diff([float(number) for number in numbers])
        end = float(numbers[-1]) + 1.5 * (float(spacing.min()) if len(spacing) else 1.0)
        for column, colour in zip(table.columns, _colours(len(table.columns)), strict=False):
            _draw_line(axes, table, column, colour, end)
        ticks = [(float(number), number) for number in numbers]
        ticks += [(end, ALL)] if (ALL,) in table.rows else []
        axes.set_xticks(*zip(*ticks, strict=True))
        axes.set(xlabel=keys_text(table.layout.rows), ylabel=caption_metric(table))
        axes.grid(axis="y", color=PALE, linewidth=0.7)
        _legend(axes, len(table.columns))
        return _svg(figure, f"{table.layout.name}-lines")


def draw_categories(table: Table) -> str:
    """Draw each category's AUROC by setting: a dot the mean of the folds, small dots the folds.

    With few settings, lines are the mean of the folds' 95 % bootstrap intervals over test images.
    """
    apart = len(table.columns) <= MOST_APART
    step = 0.8 / max(len(table.columns), 2) if apart else 0.0
    with rc_context(STYLE):
        height = 0.9 + len(table.rows) * (0.3 + (0.1 * len(table.columns) if apart else 0.0))
        figure, axes = _figure(8.2, height)
        for number, colour in zip(range(len(table.columns)), _colours(len(table.columns)), strict=False):
            shift = step * (number - (len(table.columns) - 1) / 2)
            column = table.columns[number]
            cells = [table.cells.get((row, column)) for row in table.rows]
            _draw_dots(axes, cells, shift, colour, label_text(column), intervals=apart)
        axes.set_yticks(range(len(table.rows)), [label_text(row) for row in table.rows])
        axes.set_ylim(len(table.rows) - 0.5, -0.5)
        for line in range(1, len(table.rows)):
            axes.axhline(line - 0.5, color=PALE, linewidth=0.7)
        axes.set(xlabel=caption_metric(table))
        axes.grid(axis="x", color=PALE, linewidth=0.7)
        _legend(axes, len(table.columns))
        return _svg(figure, f"{table.layout.name}-dots")


def draw_ranking(ranking: Ranking) -> str:
    """Draw mean ranks, the best at the left; a bar joins settings that are not told apart."""
    count = len(ranking.names)
    groups = ranking.groups
    with rc_context(STYLE):
        figure, axes = _figure(8.2, 1.0 + 0.2 * len(groups) + 0.26 * ((count + 1) // 2))
        axes.set_axis_off()
        axes.set(xlim=(1 - 0.55 * (count - 1), count + 0.55 * (count - 1)))
        axes.plot([1, count], [0, 0], color=INK, linewidth=1)
        for rank in range(1, count + 1):
            axes.plot([rank, rank], [0, 0.25], color=INK, linewidth=1)
            axes.text(rank, 0.4, str(rank), ha="center", va="bottom")
        for level, (start, end) in enumerate(groups):
            ends = [ranking.ranks[start] - 0.03, ranking.ranks[end] + 0.03]
            axes.plot(ends, [-0.5 - 0.6 * level] * 2, color=COLOURS[1], linewidth=4)
        depth = 0.9 + 0.6 * len(groups)
        for position, (name, rank) in enumerate(zip(ranking.names, ranking.ranks, strict=True)):
            _draw_name(axes, f"{name}  {rank:.2f}", rank, position, count, depth)
        if ranking.critical_difference:
            _draw_critical_difference(axes, ranking.critical_difference)
        return _svg(figure, "ranking")


def _draw_line(axes: Axes, table: Table, column: Label, colour: Any, end: float) -> None:  # noqa: ANN401
    cells = [(row[0], table.cells.get((row, column))) for row in table.rows]
    known = [(at, c.mean, c.sem or 0.0) for at, c in cells if c is not None and c.mean is not None]
    line = np.array([(float(at), mean, sem) for at, mean, sem in known if at != ALL]).reshape(-1, 3)
    x, mean, sem = line.T
    axes.plot(x, mean, "o-", color=colour, markersize=4, linewidth=1.6, label=label_text(column))
    axes.fill_between(x, mean - sem, mean + sem, color=colour, alpha=0.12, linewidth=0)
    for _, value, error in (entry for entry in known if entry[0] == ALL):
        axes.errorbar(end, value, error, fmt="D", color=colour, markersize=5, capsize=3)


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
            axes.plot(values, [place + shift] * len(values), ".", color=colour, alpha=0.45, markersize=3)
            if ends := _interval(cell):
                axes.plot(ends, [place + shift] * 2, color=colour, linewidth=1.3, alpha=0.7)
        axes.plot(cell.mean, place + shift, "o", color=colour, markersize=5)
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


def _draw_name(
    axes: Axes, text: str, rank: float, position: int, count: int, depth: float
) -> None:
    """Hang a setting's name below the axis, the better half to the left."""
    left = position < (count + 1) // 2
    level = -depth - 0.8 * (position if left else count - 1 - position)
    edge = 1 - 0.04 * (count - 1) if left else count + 0.04 * (count - 1)
    axes.plot([rank, rank, edge], [0, level, level], color=INK, linewidth=0.8)
    gap = 0.01 * (count - 1)
    axes.text(
        edge - gap if left else edge + gap, level, text, ha="right" if left else "left", va="center"
    )


def _draw_critical_difference(axes: Axes, width: float) -> None:
    axes.plot([1, 1 + width], [1.9, 1.9], color=COLOURS[1], linewidth=1.5, marker="|")
    axes.text(1 + width / 2, 2.05, f"critical difference {width:.2f}", ha="center", va="bottom")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure without pyplot, which would keep it and ask for a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colours(count: int) -> Sequence[Any]:
    return COLOURS if count <= len(COLOURS) else colormaps["tab20"].colors  # type: ignore[attr-defined]


def _legend(axes: Axes, count: int) -> None:
    if count > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element, with ids that no other figure of the page has."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=nothing)
    element = text.getvalue()[text.getvalue().index("<svg") :]
    element = re.sub(r' xmlns(:xlink)?="[^"]*"', "", element)
    return re.sub(r'<svg [^>]*?viewBox', f'<svg role="img" aria-label="{name}" viewBox', element, count=1)

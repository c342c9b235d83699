"""The report's plots, as SVG that stands in a page by itself."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
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
from gad_bench.report.text import NAMES, label_text, metric_text

INK, PALE = "#3c4043", "#dadce0"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#444444")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}
WIDTH = 8.2  # inches
MARGIN = 2.5  # inches beside the scale of ranks, for names
MOST_BANDS = 4  # lines that are drawn with a band
LINE_STYLES = ("-", "--", ":", "-.")
MOST_APART = 6  # settings that are drawn beside each other, with intervals


def draw_lines(table: Table) -> str:
    """Draw each column's mean and SEM along rows that are numbers; "all" stands apart."""
    with rc_context(STYLE):
        figure, axes = _figure(WIDTH, 3.9)
        numbers = [row[0] for row in table.rows if row[0] != ALL]
        spacing = np.diff([float(number) for number in numbers])
        end = float(numbers[-1]) + 1.5 * (float(spacing.min()) if len(spacing) else 1.0)
        for column, colour in zip(table.columns, _colours(len(table.columns)), strict=False):
            _draw_line(axes, table, column, colour, end)
        ticks = [(float(number), number) for number in numbers]
        ticks += [(end, ALL)] if (ALL,) in table.rows else []
        axes.set_xticks(*zip(*ticks, strict=True))
        axes.set(xlabel=table.layout.rows[0], ylabel=metric_text(table))
        axes.grid(axis="y", color=PALE, linewidth=0.7)
        _legend(axes, len(table.columns))
        return _svg(figure, f"{table.layout.name}-lines")


def stand_apart(table: Table) -> bool:
    """Tell whether the settings are few enough to be drawn beside each other, with intervals."""
    return len(table.columns) <= MOST_APART


def draw_categories(table: Table) -> str:
    """Draw each category's AUROC by setting: a dot the mean of the folds, small dots the folds.

    With few settings, lines are the mean of the folds' 95 % bootstrap intervals over test images.
    """
    apart = stand_apart(table)
    step = 0.8 / max(len(table.columns), 2) if apart else 0.0
    with rc_context(STYLE):
        height = 0.8 + len(table.rows) * (0.2 + (0.07 * len(table.columns) if apart else 0.06))
        figure, axes = _figure(WIDTH, height)
        for number, colour in zip(
            range(len(table.columns)), _colours(len(table.columns)), strict=False
        ):
            shift = step * (number - (len(table.columns) - 1) / 2)
            column = table.columns[number]
            cells = [table.cells.get((row, column)) for row in table.rows]
            _draw_dots(axes, cells, shift, colour, label_text(column), intervals=apart)
        axes.set_yticks(range(len(table.rows)), [label_text(row) for row in table.rows])
        axes.set_ylim(len(table.rows) - 0.5, -0.5)
        for line in range(1, len(table.rows)):
            axes.axhline(line - 0.5, color=PALE, linewidth=0.7)
        axes.set(xlabel=metric_text(table))
        axes.grid(axis="x", color=PALE, linewidth=0.7)
        _legend(axes, len(table.columns))
        return _svg(figure, f"{table.layout.name}-dots")


def draw_ranking(ranking: Ranking) -> str:
    """Draw mean ranks, the best at the left; a bar joins settings that are not told apart."""
    with rc_context(STYLE):
        rows = (len(ranking.names) + 1) // 2
        height = 0.95 + 0.12 * len(ranking.groups) + 0.24 * rows
        figure = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, WIDTH), ylim=(0.75 - height, 0.75))  # in inches, the scale at 0
        scale = _RankScale(axes, len(ranking.names))
        scale.draw(ranking.critical_difference)
        for level, (start, end) in enumerate(ranking.groups):
            scale.draw_bar(ranking.ranks[start], ranking.ranks[end], 0.12 * (level + 1))
        below = 0.12 * len(ranking.groups) + 0.25
        for position, (name, rank) in enumerate(zip(ranking.names, ranking.ranks, strict=True)):
            scale.hang(f"{name}  {rank:.2f}", rank, position, below)
        return _svg(figure, "ranking")


def draw_rates(table: Table) -> str:
    """Draw false and true positive rates over sigma, a panel a block, a line style a setting."""
    blocks = list(dict.fromkeys(row[0] for row in table.rows))
    settings = list(dict.fromkeys(column[:-1] for column in table.columns))
    across = min(3, len(blocks))
    down = -(-len(blocks) // across)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.6 + 2.0 * down), layout="constrained")
        FigureCanvasAgg(figure)
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
        return _svg(figure, "rates")


def _draw_line(axes: Axes, table: Table, column: Label, colour: Any, end: float) -> None:  # noqa: ANN401
    cells = [(row[0], table.cells.get((row, column))) for row in table.rows]
    known = [(at, c.mean, c.sem or 0.0) for at, c in cells if c is not None and c.mean is not None]
    line = np.array([(float(at), mean, sem) for at, mean, sem in known if at != ALL]).reshape(-1, 3)
    x, mean, sem = line.T
    axes.plot(x, mean, "o-", color=colour, markersize=4, linewidth=1.6, label=label_text(column))
    if len(table.columns) <= MOST_BANDS:
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
            axes.plot(
                values, [place + shift] * len(values), ".", color=colour, alpha=0.45, markersize=3
            )
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


def _draw_rates_of(axes: Axes, table: Table, block: str, setting: Label, style: str) -> None:
    for metric, colour in (("fpr", COLOURS[1]), ("tpr", COLOURS[0])):
        column = (*setting, metric)
        cells = [(row[1], table.cells.get((row, column))) for row in table.rows if row[0] == block]
        points = [(float(at), cell.mean) for at, cell in cells if cell and cell.mean is not None]
        if points:
            name = label_text((*setting, NAMES[metric]))
            axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=1.6, label=name)


@dataclass(frozen=True)
class _RankScale:
    """A scale of ranks, in inches: what stands on it and hangs from it."""

    axes: Axes
    count: int

    def at(self, rank: float) -> float:
        return MARGIN + (rank - 1) / (self.count - 1) * (WIDTH - 2 * MARGIN)

    def draw(self, critical_difference: float | None) -> None:
        self._line([self.at(1), self.at(self.count)], [0, 0])
        for rank in range(1, self.count + 1):
            self._line([self.at(rank)] * 2, [0, 0.06])
            self.axes.text(self.at(rank), 0.1, str(rank), ha="center", va="bottom")
        if critical_difference:
            ends = [self.at(1), self.at(1 + critical_difference)]
            self.axes.plot(ends, [0.42, 0.42], color=COLOURS[1], linewidth=1.5, marker="|")
            text = f"critical difference {critical_difference:.2f}"
            self.axes.text(ends[0], 0.48, text, ha="left", va="bottom", fontsize=8.5)

    def draw_bar(self, low: float, high: float, depth: float) -> None:
        ends = [self.at(low) - 0.04, self.at(high) + 0.04]
        self.axes.plot(ends, [-depth, -depth], color=COLOURS[1], linewidth=4)

    def hang(self, text: str, rank: float, position: int, below: float) -> None:
        """Hang a name below the scale, the better half to the left."""
        left = position < (self.count + 1) // 2
        level = -below - 0.24 * (position if left else self.count - 1 - position)
        edge, gap, side = (
            (MARGIN - 0.2, -0.08, "right") if left else (WIDTH - MARGIN + 0.2, 0.08, "left")
        )
        self._line([self.at(rank), self.at(rank), edge], [0, level, level])
        self.axes.text(edge + gap, level, text, ha=side, va="center")

    def _line(self, x: list[float], y: list[float]) -> None:
        self.axes.plot(x, y, color=INK, linewidth=0.9)


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
    return re.sub(
        r"<svg [^>]*?viewBox", f'<svg role="img" aria-label="{name}" viewBox', element, count=1
    )

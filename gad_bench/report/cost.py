"""AUROC against what a detector costs, and the settings that nothing beats at both."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from gad_bench.base.run_folder import COST_DEVICE
from gad_bench.report.style import COLOURS, PALE, STYLE, new_figure
from gad_bench.report.tables import Table
from gad_bench.report.text import NAMES, number_text, row_text

LATENCY, MEMORY = "cost_latency_ms", "cost_memory_mb"
MOST_LETTERS = 34  # of a setting's name in a panel
WIDE = 5  # so many times the least cost, and its axis is logarithmic
Vector = NDArray[np.float64]


def pareto_front(costs: Vector, values: Vector) -> list[int]:
    """Return the places of what nothing else beats, the cheapest first.

    Something beats another where it costs no more and is worth no less, and one of both is better;
    of equals the first counts.

    Args:
        costs: lower is better.
        values: higher is better.
    """
    front: list[int] = []
    for place in np.lexsort((-values, costs)):
        if not front or values[place] > values[front[-1]]:
            front.append(int(place))
    return front


def has_cost(table: Table) -> bool:
    """Tell whether a table's settings have AUROC and a latency beside each other."""
    return {("auroc",), (LATENCY,)} <= set(table.columns)


def draw_cost(table: Table) -> Figure:
    """Draw AUROC against latency and against memory; a line joins the Pareto front, named."""
    with rc_context(STYLE):
        figure = new_figure(3.9)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, metric in zip(panels, (LATENCY, MEMORY), strict=True):
            _draw_front(axes, table, metric)
        panels[0].set(ylabel=NAMES["auroc"])
        return figure


def cost_words(table: Table) -> str:
    """Return where it was measured, and what nothing beats."""
    devices = sorted(set(table.runs[COST_DEVICE].astype(str)) - {""}) if _told(table) else []
    words = f"Measured on {' and on '.join(devices)}. " if devices else ""
    if len(devices) > 1:
        words += "Costs on different devices do not compare. "
    for metric, name, unit in ((LATENCY, "time", "ms"), (MEMORY, "memory", "MB")):
        names, costs, values = _points(table, metric)
        if names:
            members = ", ".join(
                f"{names[place]} ({number_text(values[place], 'auroc')} %, "
                f"{number_text(costs[place], metric)} {unit})"
                for place in pareto_front(costs, values)
            )
            words += f"Nothing is both better and cheaper in {name} than: {members}. "
    return words + (
        "Points are means over categories. AUROC's own uncertainty is not part of the front: see "
        "its intervals."
    )


def _told(table: Table) -> bool:
    return COST_DEVICE in table.runs


def _points(table: Table, metric: str) -> tuple[list[str], Vector, Vector]:
    """Return the settings that have both numbers: names, costs and AUROC in percent."""
    found = []
    for row in table.rows:
        cost, value = table.cell(row, (metric,)), table.cell(row, ("auroc",))
        if cost is not None and value is not None and cost.finished and value.finished:
            found.append((row_text(table, row), cost.mean, value.mean))
    names = [name for name, _, _ in found]
    return names, np.array([own[1] for own in found]), np.array([own[2] for own in found])


def _draw_front(axes: Axes, table: Table, metric: str) -> None:
    names, costs, values = _points(table, metric)
    front = pareto_front(costs, values)
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot(costs, values, "o", color=COLOURS[0], alpha=0.55, markersize=5)
    axes.step(costs[front], values[front], color=COLOURS[1], linewidth=1.2, where="post")
    axes.plot(costs[front], values[front], "o", color=COLOURS[1], markersize=6)
    if len(costs) and costs.max() > WIDE * costs.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=NAMES[metric])
    axes.grid(color=PALE, linewidth=0.7)
    axes.margins(x=0.15, y=0.15)
    _name(axes, [names[place] for place in front], costs[front], values[front])


def _name(axes: Axes, names: Sequence[str], costs: Vector, values: Vector) -> None:
    for name, cost, value in zip(names, costs, values, strict=True):
        right = (
            axes.transAxes.inverted().transform(axes.transData.transform((cost, value)))[0] < 0.5
        )
        axes.annotate(
            shorten(name, MOST_LETTERS, placeholder=" …"),
            (cost, value),
            xytext=(5 if right else -5, 5),
            textcoords="offset points",
            ha="left" if right else "right",
            fontsize=8,
            parse_math=False,
        )

"""Blocks and principal components behind scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gad_bench.figures.names import as_text
from gad_bench.figures.style import ANOMALOUS, DPI, GOOD, INK

COLUMNS = 3
TRAILING, LEADING = ANOMALOUS, GOOD
NORMAL = "good images, on average"
BEYOND = "all directions beyond the fitted images'"
LEAST = 0.03  # the lower end of the axis of contributions


class Case(NamedTuple):
    """One image's score, taken apart."""

    picture: NDArray[np.uint8]  # [height, width, 3] RGB
    title: str
    anomalous: bool
    excess: Mapping[int, float]  # by block, its score less the median of good images
    block: int  # the one whose components are shown
    directions: NDArray[np.intp] | None  # [components], how many directions each one is
    squared: NDArray[np.float64] | None  # [components], what each adds to its squared distance
    normal: NDArray[np.float64] | None  # the same of good images, on average


def draw_ranks(table: pd.DataFrame) -> Figure:
    """Draw the AUROC of principal components against their rank, a panel per block.

    Args:
        table: block, rank, directions, alone, leading and trailing.
    """
    blocks = list(table.groupby("block"))
    rows = -(-len(blocks) // COLUMNS)
    columns = min(COLUMNS, len(blocks))
    figure = _figure((3.6 * columns + 0.4, 2.5 * rows + 0.8))
    grid = np.ravel(figure.subplots(rows, columns, sharey=True, squeeze=False))
    for axes, (block, part) in zip(grid, blocks, strict=False):
        _ranks(axes, part)
        axes.set_title(f"block {block}", fontsize=9)
    for axes in grid[len(blocks) :]:
        axes.set_axis_off()
    figure.supxlabel("rank of the principal component, by falling variance", fontsize=9)
    figure.supylabel("AUROC in %", fontsize=9)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def draw_cases(cases: Sequence[Case]) -> Figure:
    """Draw each image with its blocks' scores and the components of the block that stands out."""
    known = any(case.squared is not None for case in cases)
    figure = _figure((10.5 if known else 5.5, 1.9 * len(cases) + 0.4))
    widths = [1, 1.6, 2.6 if known else 0.01]
    grid = figure.subplots(len(cases), 3, squeeze=False, width_ratios=widths)
    for (image, blocks, components), case in zip(grid, cases, strict=True):
        colour = ANOMALOUS if case.anomalous else GOOD
        image.imshow(case.picture)
        image.set_axis_off()
        image.set_title(case.title, loc="left", color=colour, **as_text(case.title), fontsize=8)
        blocks.bar([str(block) for block in case.excess], list(case.excess.values()), color=colour)
        blocks.axhline(0, color=INK, linewidth=0.8)
        blocks.set_title("blocks: score above the good images' median", fontsize=8)
        _components(components, case, colour)
    if known:
        names = grid[0, 2].get_legend_handles_labels()
        figure.legend(*names, loc="outside upper right", ncols=2, fontsize=8)
    for axes in grid[-1, 1:]:
        axes.set_xlabel("block" if axes is grid[-1, 1] else "rank, by falling variance", fontsize=8)
    return figure


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _ranks(axes: Axes, part: pd.DataFrame) -> None:
    rank = part["rank"]
    axes.plot(rank, 100 * part["alone"], ".", color=INK, markersize=2.5, label="alone")
    axes.plot(rank, 100 * part["leading"], color=LEADING, label="it and all of more variance")
    axes.plot(rank, 100 * part["trailing"], color=TRAILING, label="it and all of less variance")
    beyond = part[part["directions"] > 1]
    axes.plot(beyond["rank"], 100 * beyond["alone"], "D", color=INK, markersize=4, label=BEYOND)
    axes.axhline(50, color=INK, linewidth=0.6, linestyle=":")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.spines[["top", "right"]].set_visible(False)


def _components(axes: Axes, case: Case, colour: str) -> None:
    if case.squared is None or case.normal is None or case.directions is None:
        axes.set_axis_off()
        return
    rank = np.arange(1, len(case.squared) + 1)
    single = case.directions == 1
    axes.set_yscale("log")
    axes.vlines(rank, LEAST, np.maximum(case.squared, LEAST), color=colour, linewidth=1)
    axes.plot(rank[single], case.normal[single], color=INK, linewidth=1, label=NORMAL)
    axes.plot(rank[~single], case.squared[~single], "D", color=colour, markersize=4, label=BEYOND)
    axes.plot(rank[~single], case.normal[~single], "D", color=INK, markersize=4)
    axes.set_ylim(bottom=LEAST)
    axes.set_title(
        f"block {case.block}: what each component adds to the squared distance", fontsize=8
    )
    axes.spines[["top", "right"]].set_visible(False)

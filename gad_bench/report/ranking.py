"""Whether settings differ over categories, by number and in a picture of their mean ranks.

Friedman's and Nemenyi's tests for several, Wilcoxon's for two. Source: Demšar, Statistical
Comparisons of Classifiers over Multiple Data Sets, JMLR 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gad_bench.report.style import COLOURS, INK, STYLE, WIDTH, new_figure

LEVEL = 0.05
MARGIN = 2.5  # inches beside the scale, for names


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How settings rank over categories.

    Attributes:
        names: the settings, the best mean rank first.
        ranks: their mean ranks over categories; 1 is best, ties share.
        categories: how many categories were compared.
        test: the test's name.
        p_value: of the hypothesis that all settings are alike.
        critical_difference: mean ranks that differ by less are not told apart; None for two.
    """

    names: Sequence[str]
    ranks: Sequence[float]
    categories: int
    test: str
    p_value: float
    critical_difference: float | None

    @property
    def groups(self) -> list[tuple[int, int]]:
        """The longest runs of settings that are not told apart, as first and last position.

        Nemenyi's groups count only where Friedman's test finds a difference at all; without one,
        all settings are one group.
        """
        last = len(self.names) - 1
        if self.p_value >= LEVEL or math.isnan(self.p_value):
            return [(0, last)]
        width = self.critical_difference or 0.0
        ends = [
            max(end for end in range(start, last + 1) if self.ranks[end] - rank <= width)
            for start, rank in enumerate(self.ranks)
        ]
        return [
            (start, end)
            for start, end in enumerate(ends)
            if end > start and (start == 0 or ends[start - 1] < end)
        ]


def rank_settings(names: Sequence[str], values: NDArray[np.float64]) -> Ranking | None:
    """Rank settings by their values over categories.

    Args:
        names: of the settings.
        values: float64 [categories, settings], higher is better.

    Returns:
        None with fewer than two settings or two categories.
    """
    from scipy.stats import rankdata

    count, width = values.shape
    if width < 2 or count < 2:
        return None
    ranks = rankdata(-values, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    test, p_value = _test(values)
    return Ranking(
        names=[names[position] for position in order],
        ranks=[float(ranks[position]) for position in order],
        categories=count,
        test=test,
        p_value=p_value,
        critical_difference=critical_difference(width, count) if width > 2 else None,
    )


def critical_difference(settings: int, categories: int, level: float = LEVEL) -> float:
    """Return Nemenyi's critical difference of mean ranks."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - level, settings, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(settings * (settings + 1) / (6 * categories))


def draw_ranking(ranking: Ranking) -> Figure:
    """Draw mean ranks, the best at the left; a bar joins settings that are not told apart."""
    with rc_context(STYLE):
        rows = (len(ranking.names) + 1) // 2
        height = 0.95 + 0.12 * len(ranking.groups) + 0.24 * rows
        figure = new_figure(height, layout=None)
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
        return figure


def _test(values: NDArray[np.float64]) -> tuple[str, float]:
    from scipy.stats import friedmanchisquare, wilcoxon

    if np.all(values == values[:, :1]):
        return "no difference at all", 1.0
    if values.shape[1] == 2:
        return "Wilcoxon signed-rank test", float(wilcoxon(values[:, 0], values[:, 1]).pvalue)
    return "Friedman test", float(friedmanchisquare(*values.T).pvalue)


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

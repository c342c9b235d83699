"""Whether settings differ over categories, by number and in a picture of their mean ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gad_bench.evaluation.paired import cliques, holm_matrix
from gad_bench.report.style import COLOURS, INK, STYLE, WIDTH, new_figure

MARGIN = 2.5  # inches beside the scale, for names


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How settings rank over categories.

    Attributes:
        names: the settings, the best mean rank first.
        ranks: their mean ranks over categories; 1 is best, ties share.
        categories: how many categories were compared.
        p_values: [settings, settings] of the hypothesis that two are alike, by Wilcoxon's
            signed-rank test over categories and Holm's correction for all pairs.
    """

    names: Sequence[str]
    ranks: Sequence[float]
    categories: int
    p_values: NDArray[np.float64]

    @property
    def groups(self) -> list[tuple[int, int]]:
        """The longest runs of settings that are not told apart, as first and last position."""
        return cliques(self.p_values)

    @property
    def least_possible(self) -> float:
        """The least corrected p-value that so few categories could give."""
        pairs = len(self.names) * (len(self.names) - 1) // 2
        return float(min(1.0, pairs * 2.0 ** (1 - self.categories)))


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
    tests = [[_wilcoxon(values[:, one] - values[:, other]) for other in order] for one in order]
    return Ranking(
        names=[names[position] for position in order],
        ranks=[float(ranks[position]) for position in order],
        categories=count,
        p_values=holm_matrix(np.array(tests)),
    )


def draw_ranking(ranking: Ranking) -> Figure:
    """Draw mean ranks, the best at the left; a bar joins settings that are not told apart."""
    with rc_context(STYLE):
        rows = (len(ranking.names) + 1) // 2
        height = 0.65 + 0.12 * len(ranking.groups) + 0.24 * rows
        figure = new_figure(height, layout=None)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, WIDTH), ylim=(0.4 - height, 0.4))  # in inches, the scale at 0
        scale = _RankScale(axes, len(ranking.names))
        scale.draw()
        for level, (start, end) in enumerate(ranking.groups):
            scale.draw_bar(ranking.ranks[start], ranking.ranks[end], 0.12 * (level + 1))
        below = 0.12 * len(ranking.groups) + 0.25
        for position, (name, rank) in enumerate(zip(ranking.names, ranking.ranks, strict=True)):
            scale.hang(f"{name}  {rank:.2f}", rank, position, below)
        return figure


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 where nothing differs."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


@dataclass(frozen=True)
class _RankScale:
    """A scale of ranks, in inches: what stands on it and hangs from it."""

    axes: Axes
    count: int

    def at(self, rank: float) -> float:
        return MARGIN + (rank - 1) / (self.count - 1) * (WIDTH - 2 * MARGIN)

    def draw(self) -> None:
        self._line([self.at(1), self.at(self.count)], [0, 0])
        for rank in range(1, self.count + 1):
            self._line([self.at(rank)] * 2, [0, 0.06])
            self.axes.text(self.at(rank), 0.1, str(rank), ha="center", va="bottom")

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

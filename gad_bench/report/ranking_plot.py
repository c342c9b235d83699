"""Mean ranks on a scale, with bars that join what is not told apart (Demšar, JMLR 2006)."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gad_bench.report.drawing import COLOURS, INK, STYLE, WIDTH, new_figure
from gad_bench.report.statistics import Ranking

MARGIN = 2.5  # inches beside the scale, for names


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

"""Whether settings differ over categories: Friedman and Nemenyi for several, Wilcoxon for two.

Source: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05


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


def _test(values: NDArray[np.float64]) -> tuple[str, float]:
    from scipy.stats import friedmanchisquare, wilcoxon

    if np.all(values == values[:, :1]):
        return "no difference at all", 1.0
    if values.shape[1] == 2:
        return "Wilcoxon signed-rank test", float(wilcoxon(values[:, 0], values[:, 1]).pvalue)
    return "Friedman test", float(friedmanchisquare(*values.T).pvalue)

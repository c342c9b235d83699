from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gad_bench.report.ranking import critical_difference, rank_settings


def textbook_ranks(row: np.ndarray) -> list[float]:
    """1 is best; values that tie share the mean of their places."""
    return [1 + np.sum(row > value) + (np.sum(row == value) - 1) / 2 for value in row]


def test_ranks_are_averaged_over_categories_and_ties_share() -> None:
    values = np.random.default_rng(0).integers(0, 6, size=(14, 4)) / 10
    ranking = rank_settings(list("abcd"), values)
    assert ranking is not None
    expected = np.mean([textbook_ranks(row) for row in values], axis=0)
    assert dict(zip(ranking.names, ranking.ranks, strict=True)) == pytest.approx(
        dict(zip("abcd", expected, strict=True))
    )
    assert list(ranking.ranks) == sorted(ranking.ranks)
    assert ranking.p_value == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)


def test_four_settings_on_fourteen_categories_have_the_critical_difference_of_demsars_example() -> (
    None
):
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize(("settings", "quantile"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_uses_demsars_quantiles(settings: int, quantile: float) -> None:
    expected = quantile * np.sqrt(settings * (settings + 1) / (6 * 20))
    assert critical_difference(settings, 20) == pytest.approx(expected, rel=1e-3)


def test_a_group_is_the_longest_run_that_is_not_told_apart() -> None:
    values = np.arange(15.0)[:, None] * 0.1 + np.array([3.0, 2.9, 1.0, 0.9])
    values[::2, [0, 1]] = values[::2, [1, 0]]
    values[::2, [2, 3]] = values[::2, [3, 2]]
    ranking = rank_settings(list("abcd"), values)
    assert ranking is not None
    assert ranking.p_value < 0.05
    assert ranking.groups == [(0, 1), (2, 3)]


def test_without_a_difference_all_are_one_group() -> None:
    values = np.random.default_rng(0).normal(size=(8, 4))
    ranking = rank_settings(list("abcd"), values)
    assert ranking is not None
    assert ranking.p_value > 0.05
    assert ranking.groups == [(0, 3)]


def test_two_settings_are_compared_by_wilcoxons_test() -> None:
    values = np.random.default_rng(0).normal(size=(12, 2)) + np.array([0.0, 1.0])
    ranking = rank_settings(["low", "high"], values)
    assert ranking is not None
    assert ranking.names == ["high", "low"]
    assert ranking.critical_difference is None
    assert ranking.p_value == stats.wilcoxon(values[:, 0], values[:, 1]).pvalue


def test_equal_settings_differ_in_nothing() -> None:
    for width in (2, 3):
        ranking = rank_settings(list("abc")[:width], np.ones((5, width)))
        assert ranking is not None
        assert ranking.p_value == 1.0
        assert ranking.groups == [(0, width - 1)]


@pytest.mark.parametrize("shape", [(5, 1), (1, 3), (0, 3)])
def test_too_little_to_compare_gives_no_ranking(shape: tuple[int, int]) -> None:
    assert rank_settings(list("abc")[: shape[1]], np.ones(shape)) is None

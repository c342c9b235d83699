from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gad_bench.report.ranking import rank_settings


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


def test_a_group_is_the_longest_run_that_is_not_told_apart() -> None:
    values = np.arange(15.0)[:, None] * 0.1 + np.array([3.0, 2.9, 1.0, 0.9])
    values[::2, [0, 1]] = values[::2, [1, 0]]
    values[::2, [2, 3]] = values[::2, [3, 2]]
    ranking = rank_settings(list("abcd"), values)
    assert ranking is not None
    assert ranking.groups == [(0, 1), (2, 3)]


def test_without_a_difference_all_are_one_group() -> None:
    values = np.random.default_rng(0).normal(size=(8, 4))
    ranking = rank_settings(list("abcd"), values)
    assert ranking is not None
    assert ranking.groups == [(0, 3)]


def test_two_settings_are_compared_by_wilcoxons_test() -> None:
    values = np.random.default_rng(0).normal(size=(12, 2)) + np.array([0.0, 1.0])
    ranking = rank_settings(["low", "high"], values)
    assert ranking is not None
    assert ranking.names == ["high", "low"]
    assert ranking.p_values[0, 1] == stats.wilcoxon(values[:, 0], values[:, 1]).pvalue


def test_several_settings_are_compared_with_holms_correction() -> None:
    values = np.random.default_rng(0).normal(size=(12, 3)) + np.array([0.0, 1.0, 3.0])
    ranking = rank_settings(["low", "middle", "high"], values)
    assert ranking is not None
    pairs = [(2, 1), (2, 0), (1, 0)]
    plain = sorted(stats.wilcoxon(values[:, a], values[:, b]).pvalue for a, b in pairs)
    expected = np.maximum.accumulate(np.array(plain) * [3, 2, 1])
    assert sorted(ranking.p_values[np.triu_indices(3, 1)]) == pytest.approx(expected)


def test_few_categories_cannot_show_a_difference() -> None:
    values = np.arange(5.0)[:, None] + np.array([0.0, 1.0, 3.0])
    ranking = rank_settings(list("abc"), values)
    assert ranking is not None
    assert ranking.least_possible == 3 / 16
    assert ranking.groups == [(0, 2)]


def test_equal_settings_differ_in_nothing() -> None:
    for width in (2, 3):
        ranking = rank_settings(list("abc")[:width], np.ones((5, width)))
        assert ranking is not None
        assert (ranking.p_values == 1.0).all()
        assert ranking.groups == [(0, width - 1)]


@pytest.mark.parametrize("shape", [(5, 1), (1, 3), (0, 3)])
def test_too_little_to_compare_gives_no_ranking(shape: tuple[int, int]) -> None:
    assert rank_settings(list("abc")[: shape[1]], np.ones(shape)) is None

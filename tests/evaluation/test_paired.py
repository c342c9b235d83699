"""Detectors compared on the same test images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from gad_bench.evaluation.metrics import auroc
from gad_bench.evaluation.paired import (
    cliques,
    compare,
    compare_resampled,
    delong,
    holm,
    holm_matrix,
    placements,
)


def two_detectors(
    generator: np.random.Generator, shifts: tuple[float, float], good: int = 40, bad: int = 25
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels, and scores [2, images] that are alike on the same image."""
    labels = np.repeat([0, 1], [good, bad])
    shared = generator.normal(size=len(labels))
    own = generator.normal(size=(2, len(labels)))
    return labels, shared + 0.7 * own + np.array(shifts)[:, None] * labels


def plain_delong(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """The estimator of the paper, pair by pair: structural components and their covariances."""
    bad, good = scores[:, labels == 1], scores[:, labels == 0]
    kernel = np.array(
        [
            [[float(x > y) + 0.5 * (x == y) for y in g] for x in b]
            for b, g in zip(bad, good, strict=True)
        ]
    )
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    covariance = np.cov(v10) / bad.shape[1] + np.cov(v01) / good.shape[1]
    contrast = np.array([1.0, -1.0])
    z = contrast @ kernel.mean(axis=(1, 2)) / np.sqrt(contrast @ covariance @ contrast)
    return float(2 * stats.norm.sf(abs(z)))


@pytest.mark.parametrize("digits", [6, 0])
def test_delong_is_the_papers_estimator(digits: int) -> None:
    for seed in range(5):
        labels, scores = two_detectors(np.random.default_rng(seed), (1.0, 0.7))
        first, second = (placements(labels, [s]) for s in scores.round(digits))
        assert first.auroc == pytest.approx(roc_auc_score(labels, scores[0].round(digits)))
        expected = plain_delong(labels, scores.round(digits))
        assert delong(first, second) == pytest.approx(expected, rel=1e-9)


def test_equal_detectors_are_told_apart_about_as_often_as_the_level_says() -> None:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(1500):
        labels, scores = two_detectors(generator, (1.0, 1.0))
        found.append(delong(*(placements(labels, [own]) for own in scores)))
    for level in (0.05, 0.2):
        error = np.sqrt(level * (1 - level) / len(found))
        assert np.mean(np.array(found) < level) == pytest.approx(level, abs=3.5 * error)


def test_different_detectors_are_told_apart() -> None:
    labels, scores = two_detectors(np.random.default_rng(0), (1.5, 0.0), good=150, bad=100)
    assert delong(*(placements(labels, [own]) for own in scores)) < 1e-6


def test_the_interval_of_the_difference_covers_it_about_as_often_as_it_says() -> None:
    shifts = (1.2, 0.6)
    true = [stats.norm.cdf(shift / np.sqrt(2 * (1 + 0.7**2))) for shift in shifts]
    generator, covered = np.random.default_rng(0), 0
    for _ in range(100):
        labels, scores = two_detectors(generator, shifts)
        found = compare(labels, [[own] for own in scores])["auroc"]
        first = found.order[0]
        low, high = found.below_best[1 - first]
        covered += low <= true[first] - true[1 - first] <= high
    assert 88 <= covered <= 100


def test_an_images_scores_by_several_folds_count_as_their_mean() -> None:
    labels, scores = two_detectors(np.random.default_rng(0), (1.0, 0.2))
    assert placements(labels, scores).auroc == pytest.approx(
        np.mean([auroc(labels, fold) for fold in scores])
    )


def test_the_best_and_its_equals_are_named_in_order() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    good = generator.normal(size=120) + 2 * labels
    detectors = [generator.normal(size=120), good, good + 0.01 * generator.normal(size=120)]
    found = compare(labels, [[own] for own in detectors])["auroc"]
    assert found.order[2] == 0
    assert sorted(found.alike) == [1, 2]
    assert found.alike[0] == found.order[0]
    low, high = found.below_best[0]
    assert 0.2 < low < found.values[found.order[0]] - found.values[0] < high
    assert found.below_best[found.order[0]].tolist() == [0, 0]


def test_what_does_not_vary_has_no_test() -> None:
    labels = np.array([0, 0, 1, 1])
    perfect, other, level = ([[0, 1, 2, 3]], [[1, 0, 3, 2]], [[1, 1, 1, 1]])
    assert delong(placements(labels, perfect), placements(labels, other)) == 1
    assert delong(placements(labels, perfect), placements(labels, level)) == 0
    one_bad = np.array([0, 0, 0, 1])
    assert np.isnan(delong(placements(one_bad, perfect), placements(one_bad, level)))
    assert compare(one_bad, [perfect, level])["auroc"].alike == [0, 1]


def test_holms_correction_is_the_step_down_of_the_paper() -> None:
    # Ordered: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, each no less than the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, np.nan, 0.9]) == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)
    generator = np.random.default_rng(0)
    families = generator.uniform(size=(2000, 6))
    wrong = np.mean([holm(family).min() < 0.05 for family in families])
    assert wrong == pytest.approx(0.05, abs=0.02)


def test_a_clique_is_the_longest_run_without_a_pair_that_is_told_apart() -> None:
    p = np.ones((4, 4))
    p[0, 2] = p[2, 0] = p[0, 3] = p[3, 0] = 0.01
    assert cliques(p) == [(0, 1), (1, 3)]
    assert cliques(np.ones((3, 3))) == [(0, 2)]
    apart = np.zeros((3, 3)) + np.eye(3)
    assert cliques(apart) == []
    assert cliques(np.full((2, 2), np.nan)) == [(0, 1)]
    assert holm_matrix(np.array([[1.0, 0.01], [0.01, 1.0]])).tolist() == [[1, 0.01], [0.01, 1]]


def test_average_precision_is_told_apart_about_as_often_as_the_level_says() -> None:
    generator = np.random.default_rng(0)
    found = []
    for seed in range(150):
        labels, scores = two_detectors(generator, (1.0, 1.0))
        compared = compare(labels, [[own] for own in scores], seed=seed)["aupr"]
        found.append(compared.p_values[0, 1])
    assert compared.values[0] == pytest.approx(average_precision_score(labels, scores[0]))
    assert np.mean(np.array(found) < 0.05) <= 0.1
    assert 0.1 <= np.mean(np.array(found) < 0.2) <= 0.3


def test_a_resampled_figure_is_held_against_the_variation_of_its_difference() -> None:
    shared = np.random.default_rng(0).normal(0, 0.1, size=4000)
    own = np.random.default_rng(1).normal(0, 0.01, size=4000)
    found = compare_resampled(np.array([0.7, 0.72]), np.stack([shared, shared + own]), fewest=9)
    assert found.order == [1, 0]
    assert found.p_values[0, 1] == pytest.approx(2 * stats.norm.sf(0.02 / own.std(ddof=1)))
    assert np.isnan(compare_resampled(np.ones(2), np.stack([shared, own]), fewest=1).p_values[0, 1])
    same = compare_resampled(np.array([1.0, 1.0, 0.5]), np.ones((3, 9)), fewest=5)
    assert same.p_values[0].tolist() == [1, 1, 0]

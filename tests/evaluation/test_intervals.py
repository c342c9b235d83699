from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score

from gad_bench.evaluation import intervals
from gad_bench.evaluation.detection_rates import best_f1, false_positive_rate, true_positive_rate
from gad_bench.evaluation.intervals import (
    LONG_ROW,
    interval,
    interval_names,
    resampled_areas,
    resampled_auroc_of_copies,
    resampled_rates,
    resamples,
)
from gad_bench.evaluation.metrics import auroc, average_precision, clopper_pearson

Case = tuple[NDArray[np.int64], NDArray[np.float64]]


def bootstrap_auroc(
    labels: object, scores: object, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    areas = resampled_areas(labels, [scores], seed=seed, count=resamples)
    return interval(areas["auroc"][0], level)


@pytest.mark.parametrize("count", [1, 7, 285])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_the_exact_interval_of_scipy(count: int, level: float) -> None:
    low, high = clopper_pearson(np.arange(count + 1) / count, count, level)
    for found in range(count + 1):
        expected = stats.binomtest(found, count).proportion_ci(level)
        assert (low[found], high[found]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_mean_rate_of_folds_lies_between_its_neighbours() -> None:
    low, high = clopper_pearson(np.array([0.0, 0.05, 0.1]), 10)
    assert low[0] <= low[1] <= low[2]
    assert high[0] <= high[1] <= high[2]


def test_it_covers_the_true_rate_at_least_as_often_as_it_says() -> None:
    true, count = 0.07, 40
    found = np.arange(count + 1)
    low, high = clopper_pearson(found / count, count)
    covering = (low <= true) & (true <= high)
    assert stats.binom.pmf(found, count, true)[covering].sum() >= 0.95


def drawn(generator: np.random.Generator, shift: float, count: int = 30) -> Case:
    scores = generator.normal(size=2 * count)
    scores[count:] += shift
    return np.repeat([0, 1], count), scores


def test_the_interval_is_that_of_resampling_each_kind() -> None:
    labels, scores = drawn(np.random.default_rng(0), shift=1.0)
    generator = np.random.default_rng(1)
    areas = []
    for _ in range(2000):
        good = generator.choice(scores[labels == 0], size=30)
        anomalous = generator.choice(scores[labels == 1], size=30)
        areas.append(auroc(labels, np.concatenate([good, anomalous])))
    expected = np.quantile(areas, [0.025, 0.975])
    np.testing.assert_allclose(bootstrap_auroc(labels, scores, seed=0), expected, atol=0.01)


def test_the_interval_depends_on_the_seed_alone() -> None:
    case = drawn(np.random.default_rng(0), shift=1.0)
    assert bootstrap_auroc(*case, seed=3) == bootstrap_auroc(*case, seed=3)
    assert bootstrap_auroc(*case, seed=3) != bootstrap_auroc(*case, seed=4)


def test_the_interval_covers_the_true_auroc_about_as_often_as_it_says() -> None:
    shift = 1.0
    true = 0.7602499389065233  # Phi(shift / sqrt 2)
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        low, high = bootstrap_auroc(*drawn(generator, shift), seed=seed, resamples=400)
        covered += low <= true <= high
    assert 0.90 <= covered / 300 <= 0.98


@pytest.mark.parametrize(
    "case", [([0, 1], [1.0, 1.0]), ([0, 1, 0], [2, 1, 3]), ([1, 0, 1], [2, 1, 1])]
)
def test_the_interval_lies_within_0_and_1_and_is_no_wider_for_a_lower_level(case: Case) -> None:
    low, high = bootstrap_auroc(*case, seed=0, resamples=200)
    inner_low, inner_high = bootstrap_auroc(*case, seed=0, resamples=200, level=0.5)
    assert 0 <= low <= inner_low <= inner_high <= high <= 1


@pytest.mark.parametrize("at_once", [1, 1000, 7000])
def test_the_interval_does_not_depend_on_how_many_resamples_are_drawn_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = drawn(np.random.default_rng(0), 1.0)
    expected = bootstrap_auroc(*case, seed=3)
    monkeypatch.setattr(intervals, "KEPT_FOR_THE_NEXT", 0)
    monkeypatch.setattr(intervals, "DRAWN_AT_ONCE", at_once)
    assert bootstrap_auroc(*case, seed=3) == expected


def test_resamples_that_are_kept_are_those_that_are_drawn_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = [0, 1, 0, 1, 1]
    kept = [*resamples(labels, seed=1, count=300)]
    monkeypatch.setattr(intervals, "KEPT_FOR_THE_NEXT", 0)
    for before, now in zip(kept, resamples(labels, seed=1, count=300), strict=True):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("columns", [1, LONG_ROW])
def test_sums_are_of_the_first_rows_whatever_their_length(columns: int) -> None:
    weights = np.random.default_rng(0).integers(0, 9, (7, columns)).astype(float)
    expected = [weights[:rows].sum(axis=0) for rows in range(8)]
    np.testing.assert_array_equal(intervals._sums(weights), expected)


def test_scores_that_separate_perfectly_or_not_at_all_have_an_interval_of_no_width() -> None:
    assert bootstrap_auroc([0, 0, 1, 1], [1, 2, 3, 4], seed=0) == (1.0, 1.0)
    assert bootstrap_auroc([0, 0, 1], [5, 5, 5], seed=0) == (0.5, 0.5)


@pytest.mark.parametrize("area", ["steps", "trapezoid"])
def test_each_resamples_areas_are_those_of_its_images(area: str) -> None:
    generator = np.random.default_rng(0)
    labels, scores = generator.permutation([0] * 7 + [1] * 5), generator.integers(0, 6, 12)
    other = generator.normal(size=12)
    areas = resampled_areas(labels, [other, scores], seed=5, area=area, count=200)
    found = {name: of_detectors[1] for name, of_detectors in areas.items()}
    drawn_weights = np.concatenate(list(resamples(labels, seed=5, count=200)), axis=1).T
    found_share, allowed = [0.8, 1.0], [0.01, 0.3, 1.0]
    rates = resampled_rates(labels, scores, found_share, allowed, seed=5, count=200)
    for number, weights in enumerate(drawn_weights.astype(int)):
        own = np.repeat(labels, weights), np.repeat(scores, weights)
        assert (own[0].sum(), len(own[0])) == (5, 12)
        assert found["auroc"][number] == pytest.approx(auroc(*own), abs=1e-12)
        expected = {
            "fpr": [false_positive_rate(*own, share) for share in found_share],
            "tpr": [true_positive_rate(*own, share) for share in allowed],
            "f1": [best_f1(*own)[0]],
        }
        for name, values in expected.items():
            assert rates[name][:, number].tolist() == pytest.approx(values, abs=1e-12)
        assert found["aupr"][number] == pytest.approx(average_precision(*own, area), abs=1e-12)
    assert average_precision_score(*own) == pytest.approx(average_precision(*own), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("auroc", "auroc_ci_low"),
        ("auroc_block_2", "auroc_ci_low_block_2"),
        ("fpr_sigma_3_block_12", "fpr_ci_low_sigma_3_block_12"),
        ("auroc_fold_1", "auroc_fold_1_ci_low"),
        ("auroc_defect_block_a", "auroc_defect_block_a_ci_low"),
    ],
)
def test_an_intervals_ends_are_named_before_the_sigma_and_the_block(name: str, low: str) -> None:
    assert interval_names(name) == (low, low.replace("low", "high"))


def test_an_image_is_drawn_with_all_its_copies() -> None:
    generator = np.random.default_rng(0)
    good = generator.normal(size=9)
    copies = good[:, None] + generator.normal(1.0, 1.0, size=(9, 4))
    found = resampled_auroc_of_copies(good, copies, np.random.default_rng(1), count=4000)
    wins = (copies[:, :, None] > good).mean(axis=1)  # of each image's copies, each good image
    rows = generator.integers(9, size=(4000, 9))
    plain = [wins[np.ix_(own, own)].mean() for own in rows]
    np.testing.assert_allclose(interval(found), interval(plain), atol=0.015)


def test_the_interval_of_copies_covers_the_true_auroc_about_as_often_as_it_says() -> None:
    generator, covered = np.random.default_rng(0), 0
    true = (29 * stats.norm.cdf(0.5) + 1) / 30  # of 29 images of the variance 2, and its own one
    for seed in range(200):
        image = generator.normal(size=30) * np.sqrt(1.95)
        good, *copies = image + generator.normal(size=(9, 30)) * np.sqrt(0.05)
        drawn = np.random.default_rng(seed)
        areas = resampled_auroc_of_copies(good, np.transpose(copies) + 1, drawn, count=300)
        low, high = interval(areas)
        covered += low <= true <= high
    assert 178 <= covered < 200

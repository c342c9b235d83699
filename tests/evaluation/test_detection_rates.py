"""Rates of image scores, held against loops over every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_curve

from gad_bench.base.errors import UserError
from gad_bench.evaluation.detection_rates import (
    best_f1,
    false_positive_rate,
    true_positive_rate,
)

LABELS = np.array([0] * 40 + [1] * 60)
SCORES = {
    "overlapping": np.random.default_rng(0).standard_normal(100) + LABELS,
    "with ties": np.round(np.random.default_rng(1).standard_normal(100) + LABELS),
    "perfect": LABELS + 0.0,
    "constant": np.full(100, 3.0),
    "the wrong way": -LABELS + 0.0,
}


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_f1_is_the_highest_of_any_threshold(scores: np.ndarray) -> None:
    every = [f1_score(LABELS, scores >= threshold) for threshold in np.unique(scores)]
    found, threshold = best_f1(LABELS, scores)
    assert found == pytest.approx(max(every), rel=1e-12)
    assert f1_score(LABELS, scores >= threshold) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.025, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_true_positives_are_the_most_of_any_threshold_within_the_rate(
    scores: np.ndarray, rate: float
) -> None:
    thresholds = [*np.unique(scores), np.inf]
    within = [
        (scores[LABELS == 1] >= threshold).mean()
        for threshold in thresholds
        if (scores[LABELS == 0] >= threshold).mean() <= rate
    ]
    assert true_positive_rate(LABELS, scores, rate) == pytest.approx(max(within), rel=1e-12)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_false_positives_are_those_of_the_first_point_of_the_roc_that_reaches_the_share(
    scores: np.ndarray, share: float
) -> None:
    false, true, _ = roc_curve(LABELS, scores, drop_intermediate=False)
    expected = false[np.argmax(true >= share - 1e-9)]
    assert false_positive_rate(LABELS, scores, share) == pytest.approx(expected, rel=1e-12)


def test_a_test_set_without_good_images_is_refused() -> None:
    for measure in (best_f1, lambda *both: true_positive_rate(*both, 0.01)):
        with pytest.raises(UserError, match="no good image"):
            measure(np.ones(3), np.ones(3))


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"must lie in \[0, 1\], not 1.5"):
        true_positive_rate(LABELS, SCORES["perfect"], 1.5)
    with pytest.raises(UserError, match=r"must lie in \(0, 1\], not 0"):
        false_positive_rate(LABELS, SCORES["perfect"], 0)

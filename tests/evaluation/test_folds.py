from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gad_bench.evaluation import Scores, average_folds, evaluate, evaluate_folds

LABELS = np.array([0, 0, 0, 1, 1, 1])
DEFECTS = ["good"] * 3 + ["hole", "hole", "dent"]


def fold(seed: int, dimension: int = 4) -> Scores:
    values = np.random.default_rng(seed).random(6) + LABELS
    return Scores(
        labels=LABELS,
        defects=DEFECTS,
        blocks={2: values},
        combined=values,
        dimensions={2: dimension},
    )


def without_the_last(scores: Scores) -> Scores:
    return replace(
        scores,
        labels=scores.labels[:-1],
        defects=scores.defects[:-1],
        blocks={2: scores.blocks[2][:-1]},
        combined=scores.combined[:-1],
    )


def test_the_metrics_of_folds_are_their_means() -> None:
    folds = [fold(seed) for seed in range(5)]
    each = [evaluate(scores, seed=0) for scores in folds]
    metrics = evaluate_folds(folds, seed=0)
    for key in each[0]:
        assert metrics[key] == pytest.approx(np.mean([one[key] for one in each]))
    for end in ("", "_ci_low", "_ci_high"):
        of_folds = [metrics[f"auroc_fold_{n}{end}"] for n in range(5)]
        assert of_folds == [one[f"auroc{end}"] for one in each]


def test_one_fold_is_evaluated_as_it_is() -> None:
    assert evaluate_folds([fold(0)], seed=0) == evaluate(fold(0), seed=0)


def test_a_defect_that_a_fold_lacks_has_no_mean() -> None:
    metrics = evaluate_folds([fold(0), without_the_last(fold(1))], seed=0)
    assert "auroc_defect_hole" in metrics
    assert "auroc_defect_dent" not in metrics


def test_an_images_score_is_its_mean_over_folds() -> None:
    folds = [fold(0), fold(1)]
    scores, rows = average_folds(folds, [np.arange(10, 16)] * 2)
    np.testing.assert_allclose(scores.combined, (folds[0].combined + folds[1].combined) / 2)
    np.testing.assert_array_equal(rows, np.arange(10, 16))
    assert scores.dimensions == {2: 4}


def test_only_images_that_all_folds_test_are_averaged() -> None:
    folds = [fold(0), without_the_last(fold(1, dimension=3))]
    scores, rows = average_folds(folds, [np.arange(10, 16), np.arange(10, 15)])
    np.testing.assert_array_equal(rows, np.arange(10, 15))
    assert len(scores.combined) == len(scores.defects) == 5
    assert scores.dimensions == {}

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from held_out_scores import BOTH, GOOD, HELD_OUT, fold, rows
from scipy import stats

from gad_bench.base.errors import UserError
from gad_bench.evaluation import HeldOut, Scores, Threshold, working_points
from gad_bench.evaluation.conformal import Calibration, CrossCalibration
from gad_bench.evaluation.working_points import calibrate, too_few


def interval(flagged: np.ndarray) -> tuple[float, float]:
    found = stats.binomtest(int(flagged.sum()), len(flagged)).proportion_ci(0.95)
    return found.low, found.high


def test_one_fold_is_measured_by_the_conformal_threshold() -> None:
    scores = fold()
    points = working_points(BOTH, [scores], rows(scores))
    assert scores.held_out is not None
    threshold = np.sort(scores.held_out.combined)[-4]  # (39 + 1) 0.1 = 4
    flagged = scores.combined > threshold
    metrics = points.metrics
    assert metrics["threshold_conformal"] == threshold
    assert metrics["fpr_conformal_promised"] == metrics["fpr_wanted"] == 0.1
    assert metrics["images_held_out"] == HELD_OUT
    for rate, label in (("fpr", 0), ("tpr", 1)):
        chosen = flagged[scores.labels == label]
        assert metrics[f"{rate}_conformal"] == pytest.approx(chosen.mean())
        ends = metrics[f"{rate}_conformal_ci_low"], metrics[f"{rate}_conformal_ci_high"]
        assert ends == pytest.approx(interval(chosen))


def test_a_block_is_measured_by_the_law_of_its_distance() -> None:
    scores = fold()
    metrics = working_points(BOTH, [scores], rows(scores)).metrics
    threshold = np.sqrt(stats.chi2.isf(0.1, 4))
    flagged = scores.blocks[2] > threshold
    assert metrics["threshold_gaussian_block_2"] == pytest.approx(threshold)
    good = flagged[scores.labels == 0]
    assert metrics["fpr_gaussian_block_2"] == pytest.approx(good.mean())
    low, high = interval(good)
    assert metrics["fpr_gaussian_ci_low_block_2"] == pytest.approx(low)
    assert metrics["fpr_gaussian_ci_high_block_2"] == pytest.approx(high)
    assert not any(key.endswith("block_5") for key in metrics)


def test_an_unshrunk_covariance_is_measured_by_its_finite_samples() -> None:
    scores = replace(fold(), samples={2: 9})
    metrics = working_points(BOTH, [scores], rows(scores)).metrics
    expected = np.sqrt(4 * 10 / 5 * stats.f.isf(0.1, 4, 5))
    assert metrics["threshold_gaussian_block_2"] == pytest.approx(expected)


def test_p_values_follow_the_test_images_and_leave_all_else() -> None:
    scores = fold()
    (found,) = working_points(BOTH, [scores], rows(scores)).scores
    assert scores.held_out is not None
    expected = [
        (1 + np.sum(scores.held_out.combined >= new)) / (HELD_OUT + 1) for new in scores.combined
    ]
    np.testing.assert_allclose(found.p_values, expected)
    np.testing.assert_array_equal(found.combined, scores.combined)


def test_folds_give_an_image_one_cross_conformal_p_value() -> None:
    folds = [fold(number) for number in range(3)]
    points = working_points(BOTH, folds, rows(*folds))
    first, *others = [scores.p_values for scores in points.scores]
    assert first is not None
    expected = sum(
        np.sum(scores.held_out.combined[:, None] >= scores.combined, axis=0)
        for scores in folds
        if scores.held_out is not None
    )
    np.testing.assert_allclose(first, (1 + expected) / (3 * HELD_OUT + 1))
    for other in others:
        np.testing.assert_array_equal(other, first)
    metrics = points.metrics
    assert metrics["fpr_conformal"] == pytest.approx(np.mean(first[:GOOD] <= 0.1))
    assert metrics["fpr_conformal_promised"] == pytest.approx(
        0.2 + 2 * 0.9 * 2 / (3 * HELD_OUT + 3)
    )
    assert "threshold_conformal" not in metrics


def test_gaussian_rates_of_folds_are_means_with_the_interval_of_one_test_set() -> None:
    folds = [fold(number) for number in range(3)]
    alone = [working_points(BOTH, [one], rows(one)).metrics for one in folds]
    metrics = working_points(BOTH, folds, rows(*folds)).metrics
    for key in ("threshold_gaussian_block_2", "fpr_gaussian_block_2", "tpr_gaussian_block_2"):
        assert metrics[key] == pytest.approx(np.mean([one[key] for one in alone]))
    widths = [
        one["fpr_gaussian_ci_high_block_2"] - one["fpr_gaussian_ci_low_block_2"]
        for one in (metrics, *alone)
    ]
    assert min(widths[1:]) <= widths[0] <= max(widths[1:])


def test_an_image_that_a_fold_does_not_test_has_no_p_value_and_is_not_measured() -> None:
    folds = [fold(number) for number in range(2)]
    second = folds[1]
    folds[1] = replace(
        second,
        labels=second.labels[:-1],
        defects=second.defects[:-1],
        blocks={block: values[:-1] for block, values in second.blocks.items()},
        combined=second.combined[:-1],
    )
    points = working_points(BOTH, folds, rows(*folds))
    first, other = (scores.p_values for scores in points.scores)
    assert first is not None
    assert np.isnan(first[-1])
    np.testing.assert_array_equal(first[:-1], other)
    assert points.metrics["tpr_conformal"] == pytest.approx(np.mean(first[GOOD:-1] <= 0.1))


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_held_out_are_told_of_and_give_the_rate_that_they_admit(
    caplog: pytest.LogCaptureFixture, count: int
) -> None:
    folds = [fold(number, held_out=8 // count) for number in range(count)]
    points = working_points(BOTH, folds, rows(*folds))
    metrics = points.metrics
    assert metrics["images_held_out"] == 8
    assert metrics["fpr_wanted"] == 0.1
    assert metrics["fpr_used"] == 1 / 9
    p_values = points.scores[0].p_values
    assert p_values is not None
    assert metrics["fpr_conformal"] == np.mean(p_values[:GOOD] <= 1 / 9)
    if count == 1:
        assert folds[0].held_out is not None
        assert metrics["threshold_conformal"] == folds[0].held_out.combined.max()
        assert metrics["fpr_conformal_promised"] == 1 / 9
    (message,) = caplog.messages
    assert "8 images held out admit no false positive rate below 11.1 %, which is used" in message
    assert "in place of the 10 % wanted: that takes 9 images" in message


@pytest.mark.parametrize(("needed", "fpr"), [(9, 0.1), (19, 0.05), (13, 0.072), (2, 0.35)])
def test_the_number_of_images_that_the_line_names_suffices_and_no_smaller_one(
    needed: int, fpr: float
) -> None:
    for held_out, used in ((needed, fpr), (needed - 1, 1 / needed)):
        scores = fold(held_out=held_out)
        metrics = working_points(replace(BOTH, fpr=fpr), [scores], rows(scores)).metrics
        assert metrics["fpr_used"] == used
    assert f"that takes {needed} images" in too_few(needed - 1, fpr)


def test_an_only_fold_without_images_held_out_is_calibrated_by_further_fits() -> None:
    further = [fold(number) for number in range(3)]
    alone = replace(fold(7), held_out=None)
    points = working_points(BOTH, [alone], rows(alone), further)
    crossed = working_points(BOTH, further, rows(*further))
    (found,) = points.scores
    np.testing.assert_array_equal(found.p_values, crossed.scores[0].p_values)
    np.testing.assert_array_equal(found.combined, alone.combined)
    for key, value in points.metrics.items():
        if "conformal" in key or key == "images_held_out":
            assert value == crossed.metrics[key]
    plain = working_points(BOTH, [alone], rows(alone)).metrics
    assert plain["fpr_gaussian_block_2"] == points.metrics["fpr_gaussian_block_2"]


@pytest.mark.parametrize(("label", "lacking"), [(0, "tpr"), (1, "fpr")])
def test_the_rate_of_images_that_lack_is_left_out(label: int, lacking: str) -> None:
    scores = fold()
    alike = replace(scores, labels=np.full_like(scores.labels, label))
    metrics = working_points(BOTH, [alike], rows(alike)).metrics
    assert "threshold_conformal" in metrics
    measured = {key.partition("_")[0] for key in metrics if key.endswith("_ci_low")}
    assert measured == {"fpr", "tpr"} - {lacking}


def test_without_images_held_out_the_default_leaves_p_values_out() -> None:
    scores = replace(fold(), held_out=None)
    points = working_points(BOTH, [scores], rows(scores))
    assert points.scores[0].p_values is None
    assert "fpr_gaussian_block_2" in points.metrics


@pytest.mark.parametrize("method", ["gaussian", "conformal"])
def test_a_method_alone_leaves_the_other_out(method: str) -> None:
    scores = fold()
    threshold = Threshold(fpr=0.1, methods=[method], required=True)
    points = working_points(threshold, [scores], rows(scores))
    other = {"gaussian": "conformal", "conformal": "gaussian"}[method]
    assert any(method in key for key in points.metrics)
    assert not any(other in key for key in points.metrics)
    assert (points.scores[0].p_values is None) == (method == "gaussian")


def test_a_score_that_is_no_distance_is_refused_where_gaussian_is_required() -> None:
    scores = replace(fold(), dimensions={})
    required = Threshold(fpr=0.1, methods=["gaussian"], required=True)
    with pytest.raises(UserError, match="needs a Mahalanobis distance"):
        working_points(required, [scores], rows(scores))
    metrics = working_points(BOTH, [scores], rows(scores)).metrics
    assert not any("gaussian" in key for key in metrics)


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(fpr: float) -> None:
    with pytest.raises(UserError, match=r"threshold.fpr must lie in \(0, 1\)"):
        Threshold(fpr=fpr, methods=[], required=False)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UserError, match="has no student: choose from gaussian, conformal"):
        Threshold(fpr=0.1, methods=["student"], required=False)


def test_folds_are_calibrated_by_their_number() -> None:
    def combined(scores: Scores | HeldOut) -> np.ndarray:
        return scores.combined

    assert isinstance(calibrate([fold()], combined), Calibration)
    assert isinstance(calibrate([fold(0), fold(1)], combined), CrossCalibration)
    with pytest.raises(ValueError, match="holds no image out"):
        calibrate([fold(0), replace(fold(1), held_out=None)], combined)

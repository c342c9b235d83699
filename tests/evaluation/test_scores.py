from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from gad_bench.base.errors import UserError
from gad_bench.evaluation import Definitions, HeldOut, Scores, evaluate, held_out_as_tested

ENDS = ("", "_ci_low", "_ci_high")


def test_every_metric_has_its_name(scores: Scores) -> None:
    rates = {
        f"{rate}{end}_sigma_{sigma}_block_2"
        for rate in ("fpr", "tpr")
        for end in ENDS
        for sigma in range(1, 9)
    }
    plain = ("auroc", "aupr", "auroc_defect_crack", "auroc_defect_dent", "image_f1")
    plain += tuple(f"fpr_at_tpr_{percent}" for percent in (95, 99, 100))
    plain += ("tpr_at_fpr_1", "tpr_at_fpr_5")
    areas = {f"{name}{end}" for name in plain for end in ENDS}
    areas |= {f"{a}{end}_block_{b}" for a in ("auroc", "aupr") for end in ENDS for b in (2, 5)}
    assert set(evaluate(scores, seed=0)) == rates | areas | {"image_f1_threshold"}


def test_the_rates_and_the_best_f1_are_those_of_their_definitions(scores: Scores) -> None:
    metrics = evaluate(scores, seed=0)
    at_each = [f1_score(scores.labels, scores.combined >= score) for score in scores.combined]
    assert metrics["image_f1"] == pytest.approx(max(at_each))
    highest = scores.combined[np.flatnonzero(np.isclose(at_each, max(at_each)))].max()
    assert metrics["image_f1_threshold"] == highest
    good = scores.combined[scores.labels == 0]
    beyond = (scores.combined[scores.labels == 1] > good.max()).mean()
    assert metrics["tpr_at_fpr_1"] == metrics["tpr_at_fpr_5"] == beyond  # of 10 good ones none


def test_values_are_those_of_scikit_learn(scores: Scores) -> None:
    metrics = evaluate(scores, seed=0)
    assert metrics["auroc"] == pytest.approx(roc_auc_score(scores.labels, scores.combined))
    assert metrics["aupr"] == pytest.approx(average_precision_score(scores.labels, scores.combined))
    for block, values in scores.blocks.items():
        assert metrics[f"auroc_block_{block}"] == pytest.approx(
            roc_auc_score(scores.labels, values)
        )
    assert metrics["auroc_ci_low"] <= metrics["auroc"] <= metrics["auroc_ci_high"]


def test_the_rates_at_sigma_have_the_exact_interval_of_their_images(scores: Scores) -> None:
    metrics = evaluate(scores, seed=0)
    for rate, label in (("fpr", 0), ("tpr", 1)):
        for sigma in (1, 2, 3):
            count = int((scores.labels == label).sum())
            share = metrics[f"{rate}_sigma_{sigma}_block_2"]
            exact = binomtest(round(share * count), count).proportion_ci()
            found = [metrics[f"{rate}_ci_{end}_sigma_{sigma}_block_2"] for end in ("low", "high")]
            assert found == pytest.approx([exact.low, exact.high], abs=1e-9)


def test_a_defect_is_measured_against_all_good_images(scores: Scores) -> None:
    dents = [*range(10), *range(15, 20)]
    expected = roc_auc_score(scores.labels[dents], scores.combined[dents])
    assert evaluate(scores, seed=0)["auroc_defect_dent"] == pytest.approx(expected)


def test_defects_of_any_name_are_all_reported(scores: Scores) -> None:
    names = ["a+b"] * 5 + ["a_b"] * 2 + ["划痕"] * 2 + ["n/a b"]
    metrics = evaluate(replace(scores, defects=["good"] * 10 + names), seed=0)
    found = {key for key in metrics if key.startswith("auroc_defect_") and "_ci_" not in key}
    assert found == {f"auroc_defect_{name}" for name in ("a_b", "a_b_", "划痕", "n/a b")}


def test_a_block_without_distances_has_no_rates_at_sigma(scores: Scores) -> None:
    metrics = evaluate(replace(scores, dimensions={}), seed=0)
    assert not any("sigma" in key for key in metrics)


def test_the_same_seed_gives_the_same_metrics(scores: Scores) -> None:
    assert evaluate(scores, seed=1) == evaluate(scores, seed=1)
    assert evaluate(scores, seed=1) != evaluate(scores, seed=2)


@pytest.mark.parametrize(("label", "lacking"), [(0, ["anomalous"]), (1, ["good"])])
def test_a_test_set_of_one_kind_has_no_metrics(
    scores: Scores, label: int, lacking: list[str]
) -> None:
    alike = replace(scores, labels=np.full(20, label))
    assert evaluate(alike, seed=0) == {}
    assert alike.lacking == lacking
    assert scores.lacking == []


def test_without_test_images_those_held_out_are_shown_once_each(scores: Scores) -> None:
    def fold(*images: int) -> Scores:
        values = np.array(images) / 10
        held_out = HeldOut(images=np.array(images), blocks={2: values}, combined=2 * values)
        return replace(scores, held_out=held_out)

    found = held_out_as_tested([fold(7, 3), fold(5, 3)])
    assert found is not None
    shown, rows = found
    np.testing.assert_array_equal(rows, [3, 5, 7])
    np.testing.assert_array_equal(shown.combined, [0.6, 1.0, 1.4])
    np.testing.assert_array_equal(shown.blocks[2], [0.3, 0.5, 0.7])
    assert not shown.labels.any()
    assert held_out_as_tested([scores]) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value: float, scores: Scores) -> None:
    broken = scores.blocks[5].copy()
    broken[3] = value
    with pytest.raises(UserError, match="block 5 is not finite for 1 of 20 test images"):
        evaluate(replace(scores, blocks={**scores.blocks, 5: broken}), seed=0)
    with pytest.raises(UserError, match="the combined score is not finite for 20 of 20"):
        evaluate(replace(scores, combined=np.full(20, value)), seed=0)


def test_the_kept_dimensions_and_their_shares_are_metrics(scores: Scores) -> None:
    found = evaluate(replace(scores, kept={3: (14, 56)}), seed=0)
    assert found["dimension_block_3"] == 14
    assert found["dimension_share_block_3"] == 0.25
    assert not any(key.startswith("dimension") for key in evaluate(scores, seed=0))


def test_the_definitions_change_what_they_define_and_nothing_else(scores: Scores) -> None:
    usual = evaluate(scores, seed=0)
    other = evaluate(
        scores, seed=0, definitions=Definitions(average_precision="trapezoid", sigma="share")
    )
    changed = {key for key in usual if usual[key] != other[key]}
    assert changed
    assert all(key.startswith("aupr") for key in changed)  # no image lies between the thresholds


@pytest.mark.parametrize("key", ["average_precision", "sigma"])
def test_an_unknown_definition_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=f"metrics.{key}=other is unknown: choose one of"):
        Definitions(**{key: "other"})

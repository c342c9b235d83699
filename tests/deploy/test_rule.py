"""By what a detector decides, and that nothing that it says contradicts it."""

from __future__ import annotations

import numpy as np
import pytest
from program import Program
from saved import DEMO, SMALL

from gad_bench import Detector
from gad_bench.deploy.rule import DecisionRule, decision_rule
from gad_bench.evaluation import HeldOut, Scores, Threshold
from gad_bench.gaussian import Samples
from gad_bench.gaussian.combination import Mean
from gad_bench.gaussian.covariance import LedoitWolf
from gad_bench.gaussian.detector import GaussianDetector
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.normalisation import NoNormalisation
from gad_bench.gaussian.reduction import NoReduction
from gad_bench.steps.cross_fitting import CrossFits

BOTH = ["gaussian", "conformal"]


def rule(*methods: str, fpr: float = 0.05, held_out: int = 0) -> DecisionRule:
    samples = Samples(np.random.default_rng(0).standard_normal((30, 4)))
    detector = GaussianDetector(
        normalisation=NoNormalisation(), reduction=NoReduction(), covariance=LedoitWolf()
    )
    model = FittedModel(
        blocks={0: detector.fit(samples)}, combination=Mean(), fitted_scores=None, as_one=None
    )
    values = np.arange(1.0, held_out + 1)
    unseen = HeldOut(images=np.arange(held_out), blocks={0: values}, combined=values)
    scores = Scores(
        labels=np.zeros(0, int),
        defects=[],
        blocks={0: np.zeros(0)},
        combined=np.zeros(0),
        dimensions={0: 4},
        held_out=unseen if held_out else None,
    )
    threshold = Threshold(fpr=fpr, methods=list(methods), required=False)
    return decision_rule(model, threshold, scores, CrossFits())


@pytest.mark.parametrize("held_out", [1, 2, 6, 19, 40])
@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.29, 1 / 3])
def test_decisions_p_values_and_threshold_say_the_same(held_out: int, fpr: float) -> None:
    found = rule(*BOTH, fpr=fpr, held_out=held_out)
    scores = np.concatenate([np.arange(0.5, held_out + 2, 0.5), [1e9]])
    p_values = found.p_values(scores, {})
    assert p_values is not None
    assert found.threshold is not None
    decided = found.decisions(scores, p_values)
    np.testing.assert_array_equal(decided, p_values <= found.rate)
    np.testing.assert_array_equal(decided, scores > found.threshold)
    assert found.rate == max(fpr, 1 / (held_out + 1))
    assert np.isfinite(found.threshold)


def test_too_few_images_decide_at_the_rate_that_they_admit_and_say_so() -> None:
    found = rule(*BOTH, held_out=8)
    assert (found.fpr, found.rate, found.threshold) == (0.05, 1 / 9, 8.0)
    assert found.told == (
        "for 11.1 % false alarms: anomalous where the p-value is at most 11.1 %, beyond a score of "
        "8, by 8 good images held out (8 images held out admit no false positive rate below "
        "11.1 %, which is used in place of the 5 % wanted: that takes 19 images)"
    )


def test_the_gaussian_law_decides_only_where_nothing_else_is_asked_for() -> None:
    nothing = rule(*BOTH)
    assert (nothing.method, nothing.threshold) == (None, None)
    assert nothing.decisions(np.ones(1), None) is None
    assert "nothing to decide by, so no decisions" in nothing.told
    asked = rule("gaussian", held_out=40)
    assert asked.method == "gaussian"
    assert asked.threshold is not None
    assert asked.p_values(np.ones(1), {}) is None  # those of images held out would contradict it
    assert "if features were Gaussian, as threshold=gaussian asks: no promise" in asked.told


def test_a_threshold_of_the_users_own_is_told_beside_the_rule() -> None:
    found = rule(*BOTH, held_out=40)
    assert found.told_beside(37.5) == (
        "threshold=37.5 is your own: anomalous goes by it, and by no p-value; the detector's own "
        f"rule is {found.told}"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["fold=full"],
        ["fold=full", "threshold.fpr=0.01"],
        ["fold=full", "fold.calibration_folds=0"],
        ["fold=kfold"],
        ["fold=full", "threshold=gaussian"],
        ["fold=full", "threshold=conformal", "detector=knn"],
        ["fold=full", "combination=concatenated", "reduction=npca"],
    ],
    ids=" ".join,
)
def test_so_it_is_in_every_table_of_a_saved_detector(
    program: Program, overrides: list[str]
) -> None:
    run = [*DEMO, *SMALL, "tracking=none", "figures=false", "save=it", "blocks.indices=[1,2]"]
    outcome = program(*run, *overrides)
    assert outcome.status == 0, outcome.errors
    detector = Detector.load("it")
    found = detector.scorer.rule
    assert found.told in outcome.output
    table = detector.predict(list(outcome.scores["path"])).table()
    if found.method == "conformal":
        np.testing.assert_array_equal(table["anomalous"], table["p_value"] <= found.rate)
        np.testing.assert_allclose(table["p_value"], outcome.scores["p_value"])
        assert outcome.metrics["fpr_used"] == found.rate
        assert outcome.metrics.get("threshold_conformal") == found.threshold
        assert (found.threshold is None) == (overrides[0] == "fold=full")
    else:
        assert "p_value" not in table
        assert ("anomalous" in table) == (found.method == "gaussian")

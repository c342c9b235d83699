from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from gad_bench.base.errors import UserError
from gad_bench.evaluation import metrics
from gad_bench.evaluation.metrics import (
    auroc,
    average_precision,
    bootstrap_auroc,
    precision_recall_curve,
    roc_curve,
)

Case = tuple[NDArray[np.int64], NDArray[np.float64]]

few_values = st.integers(-3, 3).map(float)  # many ties
any_values = st.floats(-1e300, 1e300)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Labels with both kinds, in any order, and scores with or without ties."""
    good, anomalous = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    labels = draw(st.permutations([0] * good + [1] * anomalous))
    values = draw(st.sampled_from([few_values, any_values]))
    scores = draw(st.lists(values, min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(scores)


@given(cases())
def test_auroc_is_that_of_scikit_learn(case: Case) -> None:
    assert auroc(*case) == pytest.approx(reference.roc_auc_score(*case), abs=1e-12)


@given(cases())
def test_the_trapezoid_is_that_under_scikit_learns_curve(case: Case) -> None:
    labels, scores = case
    precision, recall, _ = reference.precision_recall_curve(labels, scores)
    found = metrics.average_precision(labels, scores, "trapezoid")
    assert found == pytest.approx(reference.auc(recall, precision), abs=1e-12)


@given(cases())
def test_average_precision_is_that_of_scikit_learn(case: Case) -> None:
    expected = reference.average_precision_score(*case)
    assert average_precision(*case) == pytest.approx(expected, abs=1e-12)


@given(cases())
def test_the_roc_is_that_of_scikit_learn(case: Case) -> None:
    false, true, _ = reference.roc_curve(*case, drop_intermediate=False)
    np.testing.assert_allclose(roc_curve(*case), (false, true), atol=1e-12)


@given(cases())
def test_the_precision_recall_curve_is_that_of_scikit_learn(case: Case) -> None:
    precision, recall, _ = reference.precision_recall_curve(*case)
    ours = precision_recall_curve(*case)
    np.testing.assert_allclose(ours, (recall[-2::-1], precision[-2::-1]), atol=1e-12)


@given(cases())
def test_auroc_is_the_area_under_the_roc(case: Case) -> None:
    assert auroc(*case) == pytest.approx(np.trapezoid(*roc_curve(*case)[::-1]), abs=1e-12)


@given(cases())
def test_auroc_depends_on_the_order_alone(case: Case) -> None:
    labels, scores = case
    ranks = np.unique(scores, return_inverse=True)[1]
    assert auroc(labels, ranks) == auroc(labels, scores)
    assert auroc(labels, -ranks) == pytest.approx(1 - auroc(labels, scores))


def test_infinite_scores_rank_highest() -> None:
    assert auroc([0, 0, 1], [1.0, 2.0, np.inf]) == 1.0


@pytest.mark.parametrize(("label", "kind"), [(0, "anomalous"), (1, "good")])
@pytest.mark.parametrize("measure", [auroc, average_precision, roc_curve, precision_recall_curve])
def test_images_of_one_kind_have_no_metric(measure: type, label: int, kind: str) -> None:
    with pytest.raises(UserError, match=f"the test set has no {kind} image, so AUROC is undefined"):
        measure([label] * 3, [1.0, 2.0, 3.0])


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


@settings(deadline=None, max_examples=50)
@given(cases())
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
    monkeypatch.setattr(metrics, "DRAWN_AT_ONCE", at_once)
    assert bootstrap_auroc(*case, seed=3) == expected


def test_scores_that_separate_perfectly_or_not_at_all_have_an_interval_of_no_width() -> None:
    assert bootstrap_auroc([0, 0, 1, 1], [1, 2, 3, 4], seed=0) == (1.0, 1.0)
    assert bootstrap_auroc([0, 0, 1], [5, 5, 5], seed=0) == (0.5, 0.5)

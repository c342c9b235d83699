from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from gad_bench.base.errors import UserError
from gad_bench.evaluation import metrics
from gad_bench.evaluation.metrics import (
    auroc,
    average_precision,
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

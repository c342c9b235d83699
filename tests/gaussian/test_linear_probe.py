from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gad_bench.base.errors import UserError
from gad_bench.gaussian import Samples, SupervisedDetector
from gad_bench.gaussian.linear_probe import LinearProbe
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents

Array = NDArray[np.float64]

PLAIN: dict[str, Any] = {"normalisation": NoNormalisation(), "reduction": NoReduction()}


def labelled(count: int, dimension: int) -> tuple[Array, NDArray[np.int64]]:
    """Vectors of which every third is anomalous, and a little off."""
    labels = (np.arange(count) % 3 == 0).astype(np.int64)
    values = np.random.default_rng(0).standard_normal((count, dimension)) + 0.7 * labels[:, None]
    return values * np.logspace(-3, 6, dimension) + 5, labels


def theirs(values: Array, labels: NDArray[np.int64], tested: Array, C: float = 1.0) -> Array:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=10_000))
    scores: Array = model.fit(values, labels).decision_function(tested)
    return scores


def constant(values: Array) -> Array:
    changed = values.copy()
    changed[:, 0] = 0.1
    return changed


def repeated(values: Array) -> Array:
    return np.repeat(values[::2], 2, axis=0)[: len(values)]


@pytest.mark.parametrize("change", [np.asarray, constant, repeated])
@pytest.mark.parametrize(("count", "dimension"), [(90, 8), (20, 64)])
def test_the_score_is_the_log_odds_of_scikit_learns_regression_on_standardised_values(
    count: int, dimension: int, change: Any
) -> None:
    values, labels = labelled(count, dimension)
    values = change(values)
    fitted = LinearProbe(C=0.5, **PLAIN).taught(labels).fit(Samples(values))
    expected = theirs(values, labels, values[:11], C=0.5)
    np.testing.assert_allclose(fitted.score(values[:11]), expected, rtol=1e-6, atol=1e-8)


def test_normalisation_and_reduction_come_first() -> None:
    values, labels = labelled(90, 8)
    values = values[:, :5]
    probe = LinearProbe(
        normalisation=UnitLength(), reduction=PrincipalComponents(threshold=0.9, negated=False), C=1
    )
    fitted = probe.taught(labels).fit(Samples(values))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    reduced = fitted.projection.apply(unit)
    np.testing.assert_allclose(fitted.score(values), theirs(reduced, labels, reduced), rtol=1e-6)


def test_it_is_a_detector_that_takes_labels() -> None:
    assert isinstance(LinearProbe(C=1.0, **PLAIN), SupervisedDetector)


@pytest.mark.parametrize("label", [0, 1])
def test_samples_of_one_kind_are_refused(label: int) -> None:
    with pytest.raises(UserError, match="all 9 samples to learn from have the same label"):
        LinearProbe(C=1.0, **PLAIN).taught(np.full(9, label))


def test_values_that_are_not_finite_are_refused() -> None:
    values, labels = labelled(30, 3)
    values[4, 1] = np.nan
    with pytest.raises(UserError, match="not finite"):
        LinearProbe(C=1.0, **PLAIN).taught(labels).fit(Samples(values))


def test_a_penalty_of_no_weight_is_refused() -> None:
    with pytest.raises(UserError, match=r"detector\.C must be more than 0, not 0"):
        LinearProbe(C=0, **PLAIN)

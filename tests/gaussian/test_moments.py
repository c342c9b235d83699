from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import (
    Covariance,
    Diagonal,
    Empirical,
    Identity,
    LedoitWolf,
    OracleApproximating,
    Shrunk,
)
from gad_bench.gaussian.moments import Moments
from gad_bench.gaussian.nonlinear import NonlinearLedoitWolf
from gad_bench.gaussian.reduction import PrincipalComponents
from gad_bench.gaussian.robust import MinimumCovarianceDeterminant
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.structured import (
    FactorAnalysis,
    GraphicalLasso,
    ProbabilisticPrincipalComponents,
)

Array = NDArray[np.float64]
Pair = tuple[Array, Array]

OF_MOMENTS: dict[str, Covariance] = {
    "identity": Identity(),
    "diagonal": Diagonal(),
    "shrunk": Shrunk(amount=0.1),
    "ledoit_wolf": LedoitWolf(),
    "oas": OracleApproximating(),
}
NEED_FULL_RANK: dict[str, Covariance] = {
    "empirical": Empirical(),
    "ledoit_wolf_nonlinear": NonlinearLedoitWolf(),
    "graphical_lasso": GraphicalLasso(alpha=0.1, max_iterations=100),
    "probabilistic_pca": ProbabilisticPrincipalComponents(threshold=0.9),
}


def merged(values: Array, parts: int) -> Moments:
    return reduce(add, map(Moments.of, np.array_split(values, parts)))


@pytest.mark.parametrize("parts", [1, 2, 11])
def test_merged_moments_are_the_samples_statistics(fitted_and_tested: Pair, parts: int) -> None:
    values, _ = fitted_and_tested
    moments, samples = merged(values, parts), Samples(values)
    assert moments.count == samples.count
    np.testing.assert_allclose(moments.mean, samples.mean, rtol=1e-12, atol=1e-15)
    size = np.sqrt(np.outer(samples.variances, samples.variances))
    assert (np.abs(moments.covariance - samples.covariance) <= 1e-9 * size).all()
    np.testing.assert_allclose(moments.variances, samples.variances, rtol=1e-9)
    assert moments.squared_norm == pytest.approx(samples.squared_norm, rel=1e-9)
    assert moments.fourth_moment == pytest.approx(samples.fourth_moment, rel=1e-9)


@pytest.mark.parametrize("name", OF_MOMENTS)
def test_estimators_of_moments_are_those_of_the_samples(name: str, fitted_and_tested: Pair) -> None:
    fitted, tested = fitted_and_tested
    expected = OF_MOMENTS[name].fit(Samples(fitted)).distance(tested)
    distances = OF_MOMENTS[name].fit(merged(fitted, 3)).distance(tested)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@pytest.mark.parametrize("name", NEED_FULL_RANK)
def test_estimators_that_need_a_full_rank_fit_moments_too(name: str) -> None:
    values = np.random.default_rng(0).standard_normal((200, 12)) @ np.diag(np.arange(1, 13))
    expected = NEED_FULL_RANK[name].fit(Samples(values)).distance(values)
    distances = NEED_FULL_RANK[name].fit(merged(values, 5)).distance(values)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


def test_principal_components_are_chosen_by_moments_too() -> None:
    values = np.random.default_rng(1).standard_normal((200, 12)) @ np.diag(np.arange(1, 13))
    reduction = PrincipalComponents(threshold=0.9, negated=False)
    expected = reduction.fit(Samples(values)).apply(values)
    projected = reduction.fit(merged(values, 5)).apply(values)
    np.testing.assert_allclose(np.abs(projected), np.abs(expected), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (MinimumCovarianceDeterminant(support=None, seed=0), "min_cov_det needs the vectors"),
        (FactorAnalysis(factors=2, max_iterations=100), "factor_analysis needs the vectors"),
    ],
)
def test_estimators_that_need_the_vectors_say_so(estimator: Covariance, message: str) -> None:
    moments = Moments.of(np.random.default_rng(2).standard_normal((50, 3)))
    with pytest.raises(UserError, match=message):
        estimator.fit(moments)


def test_dependent_features_are_refused_with_moments_too() -> None:
    with pytest.raises(UserError, match="some depend linearly"):
        Empirical().fit(Moments.of(np.arange(24.0).reshape(8, 3)))


def test_moments_far_apart_merge_without_loss() -> None:
    generator = np.random.default_rng(3)
    values = np.concatenate([generator.standard_normal((50, 4)) + 1e4 * i for i in range(4)])
    np.testing.assert_allclose(merged(values, 4).covariance, Samples(values).covariance, rtol=1e-12)
    expected = Samples(values).fourth_moment
    assert merged(values, 4).fourth_moment == pytest.approx(expected, rel=1e-12)


def test_moments_leave_their_vectors_as_they_are() -> None:
    values = np.random.default_rng(4).standard_normal((9, 2))
    before = values.copy()
    Moments.of(values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((0, 3)), "no vector to sum over"),
        (np.array([[1.0], [np.nan]]), "vector 1 of 2 is not finite"),
    ],
)
def test_vectors_without_moments_are_refused(values: Array, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Moments.of(values)


def test_moments_of_different_widths_are_not_merged() -> None:
    with pytest.raises(UserError, match="length 3 and 4 cannot be merged"):
        _ = Moments.of(np.ones((2, 3))) + Moments.of(np.ones((2, 4)))

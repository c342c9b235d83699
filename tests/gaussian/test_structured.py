from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sklearn.covariance
from numpy.typing import NDArray
from sklearn import decomposition

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import Covariance, Diagonal, Empirical
from gad_bench.gaussian.reduction import PrincipalComponents
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.structured import (
    FactorAnalysis,
    GraphicalLasso,
    ProbabilisticPrincipalComponents,
)

Array = NDArray[np.float64]


def with_factors(count: int, dimension: int) -> Array:
    generator = np.random.default_rng(0)
    factors = generator.standard_normal((count, 3)) @ generator.standard_normal((3, dimension))
    return factors + generator.standard_normal((count, dimension)) + 2


def standardised(values: Array) -> Array:
    return (values - values.mean(axis=0)) / values.std(axis=0)


@pytest.mark.parametrize("shape", [(150, 8), (20, 40)])
def test_factor_analysis_is_scikit_learns(shape: tuple[int, int]) -> None:
    values = with_factors(*shape)
    theirs = decomposition.FactorAnalysis(n_components=3, svd_method="lapack")
    precision = theirs.fit(standardised(values)).get_precision()
    expected = np.sqrt(
        np.einsum("nd,de,ne->n", *(standardised(values), precision, standardised(values)))
    )
    ours = FactorAnalysis(factors=3, max_iterations=1000).fit(Samples(values))
    assert ours.dimension == shape[1]
    np.testing.assert_allclose(ours.distance(values), expected, rtol=1e-8)


def test_factor_analysis_of_a_narrow_block_has_fewer_factors() -> None:
    values = with_factors(100, 4)
    few = FactorAnalysis(factors=2, max_iterations=1000).fit(Samples(values)).distance(values)
    capped = FactorAnalysis(factors=50, max_iterations=1000).fit(Samples(values)).distance(values)
    np.testing.assert_array_equal(capped, few)


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.9])
def test_probabilistic_pca_is_scikit_learns(threshold: float) -> None:
    values = with_factors(150, 8)
    ratio = decomposition.PCA().fit(values).explained_variance_ratio_
    count = int(np.argmax(np.cumsum(ratio) > threshold)) + 1
    theirs = decomposition.PCA(n_components=count, svd_solver="full").fit(values)
    precision = theirs.get_precision() * 150 / 149  # theirs is divided by count - 1
    centred = values - values.mean(axis=0)
    expected = np.sqrt(np.sum(centred @ precision * centred, axis=1))
    ours = ProbabilisticPrincipalComponents(threshold=threshold).fit(Samples(values))
    np.testing.assert_allclose(ours.distance(values), expected, rtol=1e-8)


def test_probabilistic_pca_spreads_the_rest_over_directions_without_samples() -> None:
    values = with_factors(12, 40)
    eigenvalues, vectors = np.linalg.eigh(np.cov(values.T, bias=True))
    count = int(np.argmax(np.cumsum(eigenvalues[::-1]) > 0.8 * eigenvalues.sum())) + 1
    rest = eigenvalues[:-count].sum() / (40 - count)
    covariance = (
        rest * np.eye(40)
        + (vectors[:, -count:] * (eigenvalues[-count:] - rest)) @ vectors[:, -count:].T
    )
    centred = values - values.mean(axis=0)
    expected = np.sqrt(np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1))
    ours = ProbabilisticPrincipalComponents(threshold=0.8).fit(Samples(values))
    np.testing.assert_allclose(ours.distance(values), expected, rtol=1e-8)


def test_probabilistic_pca_without_a_rest_is_refused() -> None:
    with pytest.raises(UserError, match="leaves no variance for the other 36 of 40 dimensions"):
        ProbabilisticPrincipalComponents(threshold=0.99).fit(Samples(with_factors(5, 40)))


@pytest.mark.parametrize("shape", [(150, 8), (20, 30)])
def test_graphical_lasso_is_scikit_learns_on_standardised_features(
    shape: tuple[int, int],
) -> None:
    values = with_factors(*shape)
    theirs = sklearn.covariance.GraphicalLasso(alpha=0.3, enet_tol=1e-8).fit(standardised(values))
    expected = np.sqrt(theirs.mahalanobis(standardised(values)))
    ours = GraphicalLasso(alpha=0.3, max_iterations=100).fit(Samples(values))
    np.testing.assert_allclose(ours.distance(values), expected, rtol=1e-8)


def test_graphical_lasso_converges_on_collinear_features() -> None:
    generator = np.random.default_rng(0)
    shared, own = generator.standard_normal((64, 1)), generator.standard_normal((64, 15))
    positive = np.exp(0.3 * shared + 0.15 * own)
    collinear = np.concatenate([positive, positive**2, positive**4], axis=1)
    metric = GraphicalLasso(alpha=0.1, max_iterations=100).fit(Samples(collinear))
    assert np.isfinite(metric.distance(collinear)).all()


def test_graphical_lasso_with_hardly_a_penalty_is_the_empirical_estimate() -> None:
    values = with_factors(400, 5)
    expected = Empirical().fit(Samples(values)).distance(values)
    ours = GraphicalLasso(alpha=1e-5, max_iterations=1000).fit(Samples(values))
    np.testing.assert_allclose(ours.distance(values), expected, rtol=1e-3)


@pytest.mark.parametrize(
    "estimator",
    [
        FactorAnalysis(factors=2, max_iterations=1000),
        GraphicalLasso(alpha=0.2, max_iterations=100),
    ],
)
def test_scaling_and_constant_features_change_nothing(estimator: Covariance) -> None:
    values = with_factors(100, 6)
    expected = estimator.fit(Samples(values)).distance(values)
    changed = np.insert(values * np.logspace(-6, 6, 6), 3, 0.1, axis=1)
    metric = estimator.fit(Samples(changed))
    assert metric.dimension == 6
    np.testing.assert_allclose(metric.distance(changed), expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (
            FactorAnalysis(factors=3, max_iterations=1),
            "factor_analysis does not converge in 1 iterations",
        ),
        (
            GraphicalLasso(alpha=0.001, max_iterations=1),
            "graphical_lasso does not converge in 1 iterations with covariance.alpha=0.001",
        ),
    ],
)
def test_no_convergence_is_said(estimator: Covariance, message: str) -> None:
    with pytest.raises(UserError, match=message):
        estimator.fit(Samples(with_factors(20, 30)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GraphicalLasso(alpha=0.0, max_iterations=9), "covariance.alpha must lie in"),
        (lambda: FactorAnalysis(factors=0, max_iterations=9), "covariance.factors must be at"),
        (lambda: ProbabilisticPrincipalComponents(threshold=1.0), "covariance.threshold must"),
    ],
)
def test_values_outside_their_range_are_refused(
    build: Callable[[], Covariance], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build()


def test_on_principal_components_lasso_and_factors_are_the_sample_covariance() -> None:
    """So `experiment=estimators` leaves them out, and says what is left of the diagonal."""
    values = with_factors(40, 60) * np.arange(1, 61)
    samples = Samples(values)
    projection = PrincipalComponents(threshold=0.99, negated=False).fit(samples)
    components = projection.apply(values)
    assert components.shape[1] > 10
    reduced = Samples(components)
    empirical = Empirical().fit(reduced).distance(components)
    for same in (
        GraphicalLasso(alpha=0.1, max_iterations=100),
        FactorAnalysis(factors=10, max_iterations=1000),
    ):
        np.testing.assert_allclose(same.fit(reduced).distance(components), empirical, rtol=1e-10)
    diagonal = Diagonal().fit(reduced).distance(components)
    np.testing.assert_allclose(diagonal * np.sqrt(components.shape[1]), empirical, rtol=1e-10)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sklearn.covariance
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
    ledoit_wolf_amount,
    oracle_approximating_amount,
)
from gad_bench.gaussian.samples import Samples

Array = NDArray[np.float64]
Pair = tuple[Array, Array]
Reference = Callable[[Array, Array, Array], Array]

SHRINKING = {
    "ledoit_wolf": (LedoitWolf(), sklearn.covariance.LedoitWolf()),
    "oas": (OracleApproximating(), sklearn.covariance.OAS()),
    "shrunk": (Shrunk(amount=0.1), sklearn.covariance.ShrunkCovariance(shrinkage=0.1)),
    "hardly shrunk": (
        Shrunk(amount=1e-6),
        sklearn.covariance.ShrunkCovariance(shrinkage=1e-6),
    ),
    "wholly shrunk": (Shrunk(amount=1.0), sklearn.covariance.ShrunkCovariance(shrinkage=1.0)),
}


@pytest.mark.parametrize("name", SHRINKING)
def test_distances_are_those_of_scikit_learns_covariance(
    name: str, fitted_and_tested: Pair, reference: Reference
) -> None:
    ours, theirs = SHRINKING[name]
    fitted, tested = fitted_and_tested
    theirs.fit(fitted)
    expected = reference(theirs.location_, theirs.covariance_, tested)
    distances = ours.fit(Samples(fitted)).distance(tested)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@pytest.mark.parametrize("name", ["ledoit_wolf", "oas", "shrunk"])
@pytest.mark.parametrize("shape", [(160, 24), (24, 60)])
def test_distances_are_those_of_scikit_learns_mahalanobis(
    name: str, shape: tuple[int, int]
) -> None:
    ours, theirs = SHRINKING[name]
    values = np.random.default_rng(2).standard_normal(shape)
    expected = np.sqrt(theirs.fit(values).mahalanobis(values))
    distances = ours.fit(Samples(values)).distance(values)
    np.testing.assert_allclose(distances, expected, rtol=1e-10)


def test_amounts_are_those_of_scikit_learn(fitted_and_tested: Pair) -> None:
    fitted, _ = fitted_and_tested
    _, ledoit_wolf = sklearn.covariance.ledoit_wolf(fitted)
    _, oas = sklearn.covariance.oas(fitted)
    assert ledoit_wolf_amount(Samples(fitted)) == pytest.approx(ledoit_wolf, rel=1e-8)
    assert oracle_approximating_amount(Samples(fitted)) == pytest.approx(oas, rel=1e-8)


def test_one_feature_is_not_shrunk() -> None:
    values = np.random.default_rng(3).standard_normal((50, 1))
    assert ledoit_wolf_amount(Samples(values)) == 0
    expected = np.abs(values - values.mean())[:, 0] / values.std()
    for estimator in (LedoitWolf(), OracleApproximating(), Empirical()):
        distances = estimator.fit(Samples(values)).distance(values)
        np.testing.assert_allclose(distances, expected, rtol=1e-12)


def test_empirical_is_scikit_learns(reference: Reference, kind: Callable[..., Array]) -> None:
    values = kind(180, 24)
    values = values[:, np.ptp(values, axis=0) > 0]
    theirs = sklearn.covariance.EmpiricalCovariance().fit(values)
    expected = reference(theirs.location_, theirs.covariance_, values)
    distances = Empirical().fit(Samples(values)).distance(values)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


def test_empirical_keeps_its_digits_where_the_covariance_matrix_loses_them() -> None:
    generator = np.random.default_rng(4)
    whole = generator.integers(-50, 50, (80, 6)).astype(float)
    mixing = np.triu(generator.integers(-40, 40, (6, 6)), 1) + np.eye(6)  # inverse of 1e7 and more
    mixed = whole @ mixing  # exact, being of whole numbers
    expected = Empirical().fit(Samples(whole)).distance(whole)
    assert np.linalg.cond(np.corrcoef(mixed.T)) > 1e12
    distances = Empirical().fit(Samples(mixed)).distance(mixed)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


def test_identity_is_the_root_mean_square_deviation(fitted_and_tested: Pair) -> None:
    fitted, tested = fitted_and_tested
    expected = np.sqrt(np.mean((tested - fitted.mean(axis=0)) ** 2, axis=1))
    distances = Identity().fit(Samples(fitted)).distance(tested)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


def test_diagonal_is_the_root_mean_square_standardised_deviation(fitted_and_tested: Pair) -> None:
    fitted, tested = fitted_and_tested
    varies = np.ptp(fitted, axis=0) > 0
    standardised = (tested - fitted.mean(axis=0))[:, varies] / fitted[:, varies].std(axis=0)
    expected = np.sqrt(np.mean(standardised**2, axis=1))
    distances = Diagonal().fit(Samples(fitted)).distance(tested)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


def test_only_mahalanobis_distances_have_degrees_of_freedom() -> None:
    samples = Samples(np.random.default_rng(5).standard_normal((30, 7)))
    assert Identity().fit(samples).dimension is None
    assert Diagonal().fit(samples).dimension is None
    assert Empirical().fit(samples).dimension == 7
    assert LedoitWolf().fit(samples).dimension == 7


def test_squared_distances_of_normal_vectors_follow_a_chi_square() -> None:
    values = np.random.default_rng(6).standard_normal((4000, 10)) @ np.diag(np.arange(1, 11))
    for estimator in (Empirical(), LedoitWolf()):
        squared = estimator.fit(Samples(values)).distance(values) ** 2
        assert squared.mean() == pytest.approx(10, rel=0.02)
        assert squared.var() == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(
    ("estimator", "values", "message"),
    [
        (Empirical(), np.eye(5), "empirical: 5 samples of 5 features are too few, it needs 6"),
        (Empirical(), np.ones((9, 3)), "of the 3 features 3 do not vary"),
        (Empirical(), np.arange(24.0).reshape(8, 3), "some depend linearly on others"),
        (Diagonal(), np.ones((9, 3)), "no feature varies over the 9 samples"),
        (LedoitWolf(), np.ones((9, 3)), "9 samples that do not vary enough"),
        (LedoitWolf(), np.ones((1, 3)), "3 features comes of one sample alone"),
        (LedoitWolf(), np.eye(3)[:2], "2 samples that do not vary enough"),
        (OracleApproximating(), np.ones((2, 3)), "2 samples that do not vary enough"),
        (Shrunk(amount=0.5), np.ones((9, 3)), "9 samples that do not vary enough"),
        (Identity(), np.ones((0, 3)), "no sample to fit"),
        (LedoitWolf(), np.ones((0, 3)), "no sample to fit"),
        (LedoitWolf(), np.array([[1.0, 2], [3, 4], [np.nan, 1]]), "sample 2 of 3 is not finite"),
        (Identity(), np.array([[1.0, 2], [np.inf, 4]]), "sample 1 of 2 is not finite"),
    ],
)
def test_samples_without_an_estimate_are_refused(
    estimator: Covariance, values: Array, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        estimator.fit(Samples(values))


@pytest.mark.parametrize("amount", [0.0, -0.1, 1.5])
def test_an_amount_outside_its_range_is_refused(amount: float) -> None:
    with pytest.raises(UserError, match=r"covariance.amount must lie in \(0, 1\]"):
        Shrunk(amount=amount)


def test_one_sample_has_a_distance_without_covariance() -> None:
    metric = Identity().fit(Samples([[1.0, 2.0]]))
    np.testing.assert_allclose(metric.distance(np.array([[4.0, 6.0]])), np.sqrt(12.5))

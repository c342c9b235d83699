from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import MinCovDet

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import Empirical
from gad_bench.gaussian.robust import MinimumCovarianceDeterminant
from gad_bench.gaussian.samples import Samples

Array = NDArray[np.float64]


def correlated(count: int, dimension: int, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, dimension)) @ generator.standard_normal(
        (dimension, dimension)
    )


@pytest.mark.parametrize("shape", [(80, 1), (80, 6), (40, 12)])
@pytest.mark.parametrize("support", [None, 0.9])
def test_distances_are_scikit_learns(shape: tuple[int, int], support: float | None) -> None:
    values = correlated(*shape)
    theirs = MinCovDet(support_fraction=support, random_state=3).fit(values)
    expected = np.sqrt(theirs.mahalanobis(values))
    ours = MinimumCovarianceDeterminant(support=support, seed=3).fit(Samples(values))
    np.testing.assert_allclose(ours.distance(values), expected, rtol=1e-8)


def test_badly_scaled_features_change_nothing() -> None:
    values, scale = correlated(80, 6), np.logspace(-6, 6, 6)
    estimator = MinimumCovarianceDeterminant(support=None, seed=0)
    expected = estimator.fit(Samples(values)).distance(values)
    distances = estimator.fit(Samples(values * scale)).distance(values * scale)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


def test_outliers_do_not_hide_themselves() -> None:
    values = correlated(200, 4)
    values[:30] += 40
    robust = MinimumCovarianceDeterminant(support=None, seed=0).fit(Samples(values))
    plain = Empirical().fit(Samples(values))
    clean = slice(30, None)
    assert robust.distance(values[:30]).min() > 3 * robust.distance(values[clean]).max()
    assert plain.distance(values[:30]).min() < plain.distance(values[clean]).max()


def test_a_constant_feature_is_left_out() -> None:
    values = correlated(60, 4)
    padded = np.insert(values, 1, 7.0, axis=1)
    estimator = MinimumCovarianceDeterminant(support=None, seed=0)
    metric = estimator.fit(Samples(padded))
    assert metric.dimension == 4
    expected = estimator.fit(Samples(values)).distance(values)
    np.testing.assert_allclose(metric.distance(padded), expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("support", "count", "needed"), [(None, 20, 22), (None, 21, 22), (0.5, 39, 44), (1.0, 21, 22)]
)
def test_fewer_samples_than_the_dimension_needs_are_refused(
    support: float | None, count: int, needed: int
) -> None:
    message = f"min_cov_det: {count} samples of 20 features are too few, it needs {needed}"
    with pytest.raises(UserError, match=message):
        MinimumCovarianceDeterminant(support=support, seed=0).fit(Samples(correlated(count, 20)))


def test_few_samples_are_fitted_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    MinimumCovarianceDeterminant(support=None, seed=0).fit(Samples(correlated(30, 20)))
    assert "30 samples of 20 features are few" in caplog.text


def test_a_feature_that_hardly_ever_varies_is_refused() -> None:
    values = correlated(60, 3)
    values[:50, 1] = 0.0
    with pytest.raises(UserError, match="samples that agree best have a singular covariance"):
        MinimumCovarianceDeterminant(support=None, seed=0).fit(Samples(values))


@pytest.mark.parametrize("support", [0.0, 1.1, -1.0])
def test_a_support_outside_its_range_is_refused(support: float) -> None:
    with pytest.raises(UserError, match=r"covariance.support must lie in \(0, 1\]"):
        MinimumCovarianceDeterminant(support=support, seed=0)

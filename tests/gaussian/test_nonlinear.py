from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import ortho_group

from gad_bench.base.errors import UserError
from gad_bench.gaussian.covariance import Empirical, LedoitWolf
from gad_bench.gaussian.metric import SpectralMahalanobis
from gad_bench.gaussian.nonlinear import NonlinearLedoitWolf, shrink
from gad_bench.gaussian.samples import Samples

Array = NDArray[np.float64]


def epanechnikov(x: float) -> float:
    return 3 / (4 * np.sqrt(5)) * max(1 - x**2 / 5, 0.0)


def hilbert_of_kernel(x: float) -> float:
    """The Cauchy principal value of (1 / pi) int k(t) / (t - x) dt, by numerical integration."""
    edge = np.sqrt(5)
    if abs(x) < edge:
        value, _ = quad(epanechnikov, -edge, edge, weight="cauchy", wvar=x)
    else:
        value, _ = quad(lambda t: epanechnikov(t) / (t - x), -edge, edge)
    return value / np.pi


def shrunk_by_definition(sample_covariance: Array, freedom: int) -> Array:
    """Ledoit and Wolf 2020, equation 3.3, eigenvalue by eigenvalue, with integrals for transforms.

    The eigenvalues that are zero are part of the spectral distribution, a point mass.
    """
    p, n = len(sample_covariance), freedom
    eigenvalues, vectors = np.linalg.eigh(sample_covariance)
    positive = eigenvalues[max(p - n, 0) :]
    width = n ** (-1 / 3) * positive
    shrunk = []
    for value in eigenvalues:
        if p > n and value < 1e-10 * positive[0]:
            at_zero = np.mean([hilbert_of_kernel(x) for x in -positive / width] / width)
            shrunk.append(1 / (np.pi * (p - n) / n * at_zero))
            continue
        x = (value - positive) / width
        density = np.sum([epanechnikov(each) for each in x] / width) / p
        hilbert = np.sum([hilbert_of_kernel(each) for each in x] / width) / p
        hilbert += max(p - n, 0) / p / (np.pi * -value)
        transform = np.pi * (hilbert + 1j * density)
        shrunk.append(value / abs(1 - p / n - p / n * value * transform) ** 2)
    return (vectors * np.array(shrunk)) @ vectors.T


@pytest.mark.parametrize("shape", [(60, 10), (30, 29), (30, 30), (20, 32), (13, 40)])
def test_distances_are_those_of_the_papers_formula(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    values = generator.standard_normal(shape) @ np.diag(np.linspace(1, 3, shape[1]))
    tested = generator.standard_normal((5, shape[1]))
    covariance = shrunk_by_definition(np.cov(values.T), shape[0] - 1)
    centred = tested - values.mean(axis=0)
    expected = np.sqrt(np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1))
    distances = NonlinearLedoitWolf().fit(Samples(values)).distance(tested)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


def rebuilt(metric: SpectralMahalanobis) -> Array:
    full = metric.rest * np.eye(metric.dimension)
    return full + (metric.directions * (metric.variances - metric.rest)) @ metric.directions.T


@pytest.mark.parametrize("count", [100, 400])
def test_it_is_nearer_to_the_truth_than_linear_shrinkage(count: int) -> None:
    dimension = 150
    axes = ortho_group.rvs(dimension, random_state=1)
    truth = (axes * np.repeat([1.0, 10.0, 100.0], [30, 60, 60])) @ axes.T
    root = np.linalg.cholesky(truth)
    values = np.random.default_rng(2).standard_normal((count, dimension)) @ root.T
    nonlinear = rebuilt(NonlinearLedoitWolf().fit(Samples(values)).metric)
    error = np.linalg.norm(nonlinear - truth)
    metric = LedoitWolf().fit(Samples(values))
    linear = (
        rebuilt(metric)
        if isinstance(metric, SpectralMahalanobis)
        else metric.triangle.T @ metric.triangle
    )
    assert error < np.linalg.norm(linear - truth)


def test_with_many_samples_it_is_the_empirical_estimate() -> None:
    values = np.random.default_rng(3).standard_normal((100_000, 3)) @ np.diag([1.0, 2.0, 3.0])
    expected = Empirical().fit(Samples(values)).distance(values[:9])
    distances = NonlinearLedoitWolf().fit(Samples(values)).distance(values[:9])
    np.testing.assert_allclose(distances, expected, rtol=1e-2)


def test_every_eigenvalue_stays_positive() -> None:
    generator = np.random.default_rng(4)
    for count in range(13, 60, 3):
        values = generator.standard_normal((count, 30)) * np.logspace(-4, 4, 30)
        metric = NonlinearLedoitWolf().fit(Samples(values)).metric
        assert (metric.variances > 0).all()
        assert metric.rest > 0 or len(metric.variances) == 30


def test_an_eigenvalue_at_the_kernels_edge_has_no_infinite_transform() -> None:
    freedom = 27  # bandwidth 1/3: the kernel about 1 ends at 1 + sqrt(5) / 3
    shrunk, _ = shrink(np.array([1 + np.sqrt(5) / 3, 1.0]), 2, freedom)
    assert np.isfinite(shrunk).all()


def test_a_constant_feature_is_left_out() -> None:
    values = np.random.default_rng(5).standard_normal((40, 6))
    padded = np.insert(values, 2, 0.1, axis=1)
    metric = NonlinearLedoitWolf().fit(Samples(padded))
    assert metric.dimension == 6
    expected = NonlinearLedoitWolf().fit(Samples(values)).distance(values)
    np.testing.assert_allclose(metric.distance(padded), expected, rtol=1e-10)


@pytest.mark.parametrize("dimension", [30, 24])
def test_repeated_samples_count_once_in_the_papers_formula(
    dimension: int, caplog: pytest.LogCaptureFixture
) -> None:
    generator = np.random.default_rng(6)
    values = generator.standard_normal((20, dimension)) @ np.diag(np.linspace(1, 3, dimension))
    repeated = np.concatenate([values, values[:5]])
    tested = generator.standard_normal((5, dimension))
    covariance = shrunk_by_definition(np.cov(repeated.T, bias=True) * 20 / 19, 19)
    centred = tested - repeated.mean(axis=0)
    expected = np.sqrt(np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1))
    distances = NonlinearLedoitWolf().fit(Samples(repeated)).distance(tested)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)
    assert f"25 samples of {dimension} varying features are worth 20" in caplog.text


def test_every_image_twice_is_every_image_once() -> None:
    values = np.random.default_rng(7).standard_normal((20, 30))
    twice = NonlinearLedoitWolf().fit(Samples(np.concatenate([values, values])))
    once = NonlinearLedoitWolf().fit(Samples(values))
    np.testing.assert_allclose(twice.distance(values), once.distance(values), rtol=1e-9)


def test_too_few_and_dependent_features_are_refused() -> None:
    values = np.random.default_rng(6).standard_normal((20, 30))
    with pytest.raises(UserError, match="12 samples of 30 features are too few, it needs 13"):
        NonlinearLedoitWolf().fit(Samples(values[:12]))
    with pytest.raises(UserError, match="rank 11, as 12 would, and it needs 13"):
        NonlinearLedoitWolf().fit(Samples(np.concatenate([values[:12], values[:5]])))
    dependent = np.concatenate([values[:, :10], values[:, :2]], axis=1)
    with pytest.raises(UserError, match="20 samples of 12 varying features have rank 10: remove f"):
        NonlinearLedoitWolf().fit(Samples(dependent))

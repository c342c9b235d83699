from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from gad_bench.evaluation.thresholds import DistanceLaw
from gad_bench.gaussian import Samples
from gad_bench.gaussian.covariance import Empirical, LedoitWolf
from gad_bench.gaussian.metric import TriangularMahalanobis
from gad_bench.gaussian.reduction import PrincipalComponents

RATES = (1e-6, 0.01, 0.05, 0.5, 0.99)


@pytest.mark.parametrize(
    ("dimension", "samples"), [(1, 2), (5, 6), (5, 50), (100, 200), (3, 100_000)]
)
def test_with_samples_it_is_the_scaled_f_of_scipy(dimension: int, samples: int) -> None:
    law = DistanceLaw(dimension=dimension, samples=samples)
    factor = dimension * (samples + 1) / (samples - dimension)
    for fpr in RATES:
        squared = factor * stats.f.isf(fpr, dimension, samples - dimension)
        assert law.threshold(fpr) ** 2 == pytest.approx(squared, rel=1e-9)
        (p_value,) = law.p_values([np.sqrt(squared)])
        assert p_value == pytest.approx(fpr, rel=1e-9)


def test_the_factor_is_that_of_the_unbiased_covariance_but_for_its_divisor() -> None:
    d, n = 4, 11
    unbiased = d * (n**2 - 1) / (n * (n - d)) * stats.f.isf(0.1, d, n - d)
    squared = DistanceLaw(dimension=d, samples=n).threshold(0.1) ** 2
    assert squared * (n - 1) / n == pytest.approx(unbiased)


@pytest.mark.parametrize("dimension", [1, 24, 1792])
def test_without_samples_it_is_the_chi_square_of_scipy(dimension: int) -> None:
    law = DistanceLaw(dimension=dimension)
    for fpr in RATES:
        squared = stats.chi2.isf(fpr, dimension)
        assert law.threshold(fpr) ** 2 == pytest.approx(squared, rel=1e-10)
        (p_value,) = law.p_values([np.sqrt(squared)])
        assert p_value == pytest.approx(fpr, rel=1e-10)


def test_with_ever_more_samples_it_becomes_the_chi_square() -> None:
    known = DistanceLaw(dimension=6).threshold(0.01)
    assert DistanceLaw(dimension=6, samples=10**7).threshold(0.01) == pytest.approx(known, rel=1e-5)


def test_a_law_is_kept_as_json() -> None:
    for law in (DistanceLaw(dimension=6, samples=20), DistanceLaw(dimension=6)):
        assert DistanceLaw(**json.loads(json.dumps(asdict(law)))) == law


def measured(seed: int, dimension: int, count: int, fpr: float, **laws: DistanceLaw) -> list[float]:
    """The mean share of new Gaussian vectors beyond each law's threshold, over many fits."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((dimension, dimension))
    rates = []
    for _ in range(200):
        fitted = Empirical().fit(Samples(generator.standard_normal((count, dimension)) @ mixing))
        distances = fitted.distance(generator.standard_normal((200, dimension)) @ mixing)
        rates.append([np.mean(distances > law.threshold(fpr)) for law in laws.values()])
    return list(np.mean(rates, axis=0))


@pytest.mark.parametrize(("dimension", "count"), [(3, 5), (10, 30), (20, 100)])
def test_the_promise_holds_for_gaussian_vectors_and_the_chi_squares_does_not(
    dimension: int, count: int
) -> None:
    exact = DistanceLaw(dimension=dimension, samples=count)
    naive = DistanceLaw(dimension=dimension)
    corrected, plain = measured(0, dimension, count, 0.05, exact=exact, naive=naive)
    assert corrected == pytest.approx(0.05, abs=0.005)
    assert plain > 0.1


def test_only_the_unshrunk_estimate_names_its_samples() -> None:
    samples = Samples(np.random.default_rng(0).standard_normal((40, 5)))
    empirical, shrunk = Empirical().fit(samples), LedoitWolf().fit(samples)
    assert isinstance(shrunk, TriangularMahalanobis)
    assert (empirical.samples, shrunk.samples) == (40, None)


def reduced_rate(negated: bool) -> float:
    """The false positive rate at 5 % after a reduction by the variance of the fitted vectors."""
    generator = np.random.default_rng(0)
    deviations = np.exp(-0.15 * np.arange(20))
    rates = []
    for _ in range(100):
        samples = Samples(generator.standard_normal((100, 20)) * deviations)
        reduction = PrincipalComponents(threshold=0.95, negated=negated).fit(samples)
        fitted = Empirical().fit(samples.map(reduction.apply))
        law = DistanceLaw(dimension=fitted.dimension, samples=fitted.samples)
        new = reduction.apply(generator.standard_normal((200, 20)) * deviations)
        rates.append(np.mean(fitted.distance(new) > law.threshold(0.05)))
    return float(np.mean(rates))


def test_a_reduction_by_variance_breaks_the_law_as_its_docstring_says() -> None:
    assert reduced_rate(negated=False) < 0.05
    assert reduced_rate(negated=True) > 0.07

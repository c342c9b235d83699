from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from gad_bench.evaluation.thresholds import SIGMAS, rates_at_sigma, sigma_threshold

DIMENSIONS = [1, 24, 272, 1792]


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_threshold_is_the_chi_square_quantile(sigma: int, dimension: int) -> None:
    tail = math.erfc(sigma / math.sqrt(2))
    expected = math.sqrt(chi2.isf(tail, dimension))
    assert sigma_threshold(sigma, dimension) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("sigma", [1, 2, 3, 4, 5])
def test_the_threshold_is_the_papers_where_its_formula_has_the_digits(
    sigma: int, dimension: int
) -> None:
    expected = math.sqrt(chi2.ppf(math.erf(sigma / math.sqrt(2)), dimension))
    assert sigma_threshold(sigma, dimension) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sigma", [*SIGMAS, 20])
def test_in_one_dimension_the_threshold_is_n_sigma_itself(sigma: int) -> None:
    assert sigma_threshold(sigma, 1) == pytest.approx(sigma)


@pytest.mark.parametrize("sigma", [1, 2, 3])
def test_a_gaussians_vectors_exceed_the_threshold_as_often_as_they_should(sigma: int) -> None:
    count, expected = 100_000, math.erfc(sigma / math.sqrt(2))
    vectors = np.random.default_rng(0).normal(size=(count, 10))
    beyond = (np.linalg.norm(vectors, axis=1) > sigma_threshold(sigma, 10)).mean()
    assert beyond == pytest.approx(expected, abs=4 * math.sqrt(expected / count))


def test_rates_count_the_images_beyond_the_threshold() -> None:
    one, two = (sigma_threshold(sigma, 4) for sigma in (1, 2))
    labels = [0, 0, 0, 0, 1, 1]
    distances = [0.1, one, one + 1e-9, two + 1e-9, one + 1e-9, two + 1e-9]
    assert rates_at_sigma(labels, distances, 4, sigmas=[1, 2]) == {1: (0.5, 1.0), 2: (0.25, 0.5)}


@pytest.mark.parametrize("dimension", [1, 24, 272, 1792])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_threshold_by_the_share_is_the_formula_as_it_stands(sigma: int, dimension: int) -> None:
    share = math.erf(sigma / math.sqrt(2))
    found = sigma_threshold(sigma, dimension, "share")
    assert found == pytest.approx(math.sqrt(chi2.ppf(share, dimension)), rel=1e-12)
    by_the_tail = sigma_threshold(sigma, dimension)
    assert found == pytest.approx(by_the_tail, rel=1e-6 if sigma < 8 else 3e-4)
    assert sigma < 8 or found > by_the_tail * (1 + 3e-5)

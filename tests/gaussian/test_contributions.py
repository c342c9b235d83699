"""What each principal component adds to a squared distance."""

from __future__ import annotations

import numpy as np
import pytest

from gad_bench.gaussian import Samples
from gad_bench.gaussian.covariance import (
    Covariance,
    Diagonal,
    Empirical,
    LedoitWolf,
    OracleApproximating,
    Shrunk,
)
from gad_bench.gaussian.detector import GaussianDetector
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents
from gad_bench.gaussian.structured import GraphicalLasso, ProbabilisticPrincipalComponents

ESTIMATORS: list[Covariance] = [
    LedoitWolf(),
    OracleApproximating(),
    Shrunk(amount=0.3),
    ProbabilisticPrincipalComponents(threshold=0.8),
    GraphicalLasso(alpha=0.5, max_iterations=100),
]
GENERATOR = np.random.default_rng(0)
MANY = GENERATOR.standard_normal((60, 8)) @ GENERATOR.standard_normal((8, 8))
FEW = MANY[:6]
TESTED = 3 * GENERATOR.standard_normal((10, 8))


def detector(covariance: Covariance, **changes: object) -> GaussianDetector:
    parts = {"normalisation": NoNormalisation(), "reduction": NoReduction()}
    return GaussianDetector(covariance=covariance, **parts | changes)


@pytest.mark.parametrize("fitted", [MANY, FEW], ids=["many samples", "few samples"])
@pytest.mark.parametrize("covariance", ESTIMATORS, ids=lambda own: type(own).__name__)
def test_contributions_sum_to_the_squared_distance(
    covariance: Covariance, fitted: np.ndarray
) -> None:
    model = detector(covariance).fit(Samples(fitted))
    parts = model.contributions(TESTED)
    assert parts is not None
    np.testing.assert_allclose(parts.squared.sum(axis=1), model.score(TESTED) ** 2, rtol=1e-9)
    assert parts.directions.sum() == 8


def test_components_are_the_covariance_matrixs_own() -> None:
    parts = detector(Empirical()).fit(Samples(MANY)).contributions(TESTED)
    assert parts is not None
    variances, directions = np.linalg.eigh(np.cov(MANY.T, bias=True))
    along = (TESTED - MANY.mean(axis=0)) @ directions
    np.testing.assert_allclose(parts.variances, variances[::-1], rtol=1e-9)
    np.testing.assert_allclose(parts.squared, (along**2 / variances)[:, ::-1], rtol=1e-7)


def test_directions_beyond_the_samples_are_the_last_component() -> None:
    parts = detector(LedoitWolf()).fit(Samples(FEW)).contributions(TESTED)
    assert parts is not None
    assert parts.directions.tolist() == [1, 1, 1, 1, 1, 3]
    assert (np.diff(parts.variances) <= 0).all()
    beyond = np.linalg.svd(FEW - FEW.mean(axis=0))[2][5:]
    expected = (((TESTED - FEW.mean(axis=0)) @ beyond.T) ** 2).sum(axis=1) / parts.variances[-1]
    np.testing.assert_allclose(parts.squared[:, -1], expected, rtol=1e-9)


def test_normalisation_and_reduction_come_first() -> None:
    reduction = PrincipalComponents(threshold=0.9, negated=False)
    model = detector(LedoitWolf(), normalisation=UnitLength(), reduction=reduction).fit(
        Samples(MANY)
    )
    parts = model.contributions(TESTED)
    assert parts is not None
    np.testing.assert_allclose(parts.squared.sum(axis=1), model.score(TESTED) ** 2, rtol=1e-9)


def test_a_distance_without_a_covariance_matrix_has_no_components() -> None:
    assert detector(Diagonal()).fit(Samples(MANY)).contributions(TESTED) is None

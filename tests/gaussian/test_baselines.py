from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn import ensemble, svm

from gad_bench.base.errors import UserError
from gad_bench.gaussian.baselines import (
    IsolationForest,
    KernelDensity,
    NearestNeighbours,
    OneClassSVM,
)
from gad_bench.gaussian.detector import MetricDetector
from gad_bench.gaussian.normalisation import NoNormalisation, UnitLength
from gad_bench.gaussian.reduction import NoReduction, PrincipalComponents
from gad_bench.gaussian.samples import Samples

Array = NDArray[np.float64]

PLAIN: dict[str, Any] = {"normalisation": NoNormalisation(), "reduction": NoReduction()}


def vectors(count: int = 80, dimension: int = 12) -> Array:
    return np.random.default_rng(0).standard_normal((count, dimension)) + 3


def test_one_class_svm_is_minus_the_decision_function() -> None:
    theirs = svm.OneClassSVM(kernel="rbf", gamma="scale", nu=0.2).fit(vectors())
    scores = OneClassSVM(nu=0.2, **PLAIN).fit(Samples(vectors())).score(vectors()[:9] + 1)
    np.testing.assert_allclose(scores, -theirs.decision_function(vectors()[:9] + 1), rtol=1e-10)


def test_gamma_by_the_deviation_is_that_of_scikit_learn_0_20() -> None:
    gamma = 1 / (vectors().shape[1] * np.std(vectors()))
    theirs = svm.OneClassSVM(kernel="rbf", gamma=gamma, nu=0.2).fit(vectors())
    fitted = OneClassSVM(nu=0.2, gamma="deviation", **PLAIN).fit(Samples(vectors()))
    images = vectors()[:9] + 1
    np.testing.assert_allclose(fitted.score(images), -theirs.decision_function(images), atol=1e-12)
    by_variance = OneClassSVM(nu=0.2, **PLAIN).fit(Samples(vectors()))
    assert not np.allclose(fitted.score(images), by_variance.score(images))


def test_samples_that_do_not_vary_have_gamma_1() -> None:
    fitted = OneClassSVM(nu=0.5, gamma="deviation", **PLAIN).fit(Samples(np.ones((4, 3))))
    assert fitted.metric.gamma == 1


def test_an_unknown_gamma_is_refused() -> None:
    with pytest.raises(UserError, match=r"detector\.gamma=auto is unknown: choose one of variance"):
        OneClassSVM(nu=0.5, gamma="auto", **PLAIN)


def test_nearest_neighbours_is_the_mean_distance_from_the_k_nearest() -> None:
    tested = vectors()[:9] + 0.5
    distances = np.linalg.norm(tested[:, None] - vectors()[None], axis=2)
    expected = np.sort(distances, axis=1)[:, :3].mean(axis=1)
    scores = NearestNeighbours(k=3, **PLAIN).fit(Samples(vectors())).score(tested)
    np.testing.assert_allclose(scores, expected, rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_kernel_density_is_minus_the_logarithm_of_the_density(scale: float) -> None:
    values, tested = vectors() * scale, (vectors()[:9] + 0.5) * scale
    width = 0.7 * np.sqrt(values.var(axis=0).mean()) * 80 ** (-1 / 16)
    exponents = -np.sum((tested[:, None] - values[None]) ** 2, axis=2) / (2 * width**2)
    normal = np.log(80) + 12 / 2 * np.log(2 * np.pi * width**2)
    expected = normal - logsumexp(exponents, axis=1)
    scores = KernelDensity(bandwidth=0.7, **PLAIN).fit(Samples(values)).score(tested)
    np.testing.assert_allclose(scores, expected, rtol=1e-8)


def test_isolation_forest_is_scikit_learns() -> None:
    theirs = ensemble.IsolationForest(n_estimators=20, random_state=4).fit(vectors())
    scores = IsolationForest(trees=20, seed=4, **PLAIN).fit(Samples(vectors())).score(vectors())
    np.testing.assert_array_equal(scores, -theirs.score_samples(vectors()))


BASELINES: dict[str, type[MetricDetector]] = {
    "one_class_svm": OneClassSVM,
    "knn": NearestNeighbours,
    "kernel_density": KernelDensity,
    "isolation_forest": IsolationForest,
}
VALUES: dict[str, dict[str, Any]] = {
    "one_class_svm": {"nu": 0.5},
    "knn": {"k": 2},
    "kernel_density": {"bandwidth": 1.0},
    "isolation_forest": {"trees": 50, "seed": 0},
}


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_far_away_scores_higher(name: str) -> None:
    fitted = BASELINES[name](**VALUES[name], **PLAIN).fit(Samples(vectors()))
    fresh = np.random.default_rng(1).standard_normal((40, 12)) + 3
    assert fitted.score(fresh + 4).min() > np.median(fitted.score(fresh))
    assert fitted.dimension is None


@pytest.mark.parametrize("name", BASELINES)
def test_normalisation_and_reduction_keep_their_meaning(name: str) -> None:
    parts = {
        "normalisation": UnitLength(),
        "reduction": PrincipalComponents(threshold=0.8, negated=False),
    }
    scores = BASELINES[name](**VALUES[name], **parts).fit(Samples(vectors())).score(vectors())
    unit = vectors() / np.linalg.norm(vectors(), axis=1, keepdims=True)
    projected = parts["reduction"].fit(Samples(unit)).apply(unit)
    expected = BASELINES[name](**VALUES[name], **PLAIN).fit(Samples(projected)).score(projected)
    np.testing.assert_allclose(scores, expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("one_class_svm", {"nu": 0.0}, r"detector.nu must lie in \(0, 1\], not 0.0"),
        ("knn", {"k": 0}, "detector.k must be at least 1, not 0"),
        ("kernel_density", {"bandwidth": 0.0}, "detector.bandwidth must be more than 0"),
        ("isolation_forest", {"trees": 0, "seed": 0}, "detector.trees must be at least 1"),
    ],
)
def test_values_outside_their_range_are_refused(
    name: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        BASELINES[name](**values, **PLAIN)


def test_more_neighbours_than_samples_are_refused() -> None:
    with pytest.raises(UserError, match=r"detector\.k=9 exceeds the 8 samples"):
        NearestNeighbours(k=9, **PLAIN).fit(Samples(vectors(8)))


def test_a_density_of_samples_that_do_not_vary_is_refused() -> None:
    with pytest.raises(UserError, match="no density comes of 8 samples that do not vary enough"):
        KernelDensity(bandwidth=1.0, **PLAIN).fit(Samples(np.ones((8, 2))))


@pytest.mark.parametrize("name", BASELINES)
def test_no_samples_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="no sample to fit"):
        BASELINES[name](**VALUES[name], **PLAIN).fit(Samples(np.ones((0, 2))))


def test_a_single_sample_grows_no_forest() -> None:
    with pytest.raises(UserError, match="splits samples apart, and 1 is there"):
        IsolationForest(trees=5, seed=0, **PLAIN).fit(Samples(vectors()[:1]))

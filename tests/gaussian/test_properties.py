"""What holds for any samples: hypothesis draws their number, dimension, scale and order."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

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
from gad_bench.gaussian.metric import SpectralMahalanobis, TriangularMahalanobis
from gad_bench.gaussian.moments import Moments
from gad_bench.gaussian.nonlinear import NonlinearLedoitWolf
from gad_bench.gaussian.reduction import PrincipalComponents
from gad_bench.gaussian.robust import MinimumCovarianceDeterminant
from gad_bench.gaussian.samples import Samples
from gad_bench.gaussian.structured import GraphicalLasso, ProbabilisticPrincipalComponents

Array = NDArray[np.float64]

quick = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def vectors(
    draw: st.DrawFn, least: int = 2, most: int = 40, widest: int = 30, spread: float = 3
) -> Array:
    """Correlated samples of scales up to ten to the spread, with a mean."""
    count, dimension = draw(st.integers(least, most)), draw(st.integers(1, widest))
    generator = np.random.default_rng(draw(seeds))
    mixing = generator.standard_normal((dimension, dimension)) + 2 * np.eye(dimension)
    scale = 10 ** generator.uniform(-spread, spread, dimension)
    return generator.standard_normal((count, dimension)) @ mixing * scale + scale


tall = vectors(least=40, most=80, widest=12)
shrinking = st.sampled_from([LedoitWolf(), OracleApproximating(), Shrunk(amount=0.2)])


def orthogonal(dimension: int, seed: int) -> Array:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dimension, dimension))).Q


@quick
@given(values=tall, seed=seeds)
def test_empirical_distances_are_the_same_in_any_coordinates(values: Array, seed: int) -> None:
    generator = np.random.default_rng(seed)
    dimension = values.shape[1]
    mixing = orthogonal(dimension, seed) * generator.uniform(0.1, 10, dimension)
    moved = values / values.std(axis=0) @ mixing + generator.standard_normal(dimension)
    expected = Empirical().fit(Samples(values)).distance(values)
    distances = Empirical().fit(Samples(moved)).distance(moved)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@quick
@given(values=vectors(least=3, spread=1), estimator=shrinking, seed=seeds)
def test_shrunk_distances_survive_rotation_shift_and_one_scale(
    values: Array, estimator: Covariance, seed: int
) -> None:
    moved = 7 * values @ orthogonal(values.shape[1], seed) + np.abs(values).max()
    expected = estimator.fit(Samples(values)).distance(values)
    distances = estimator.fit(Samples(moved)).distance(moved)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@quick
@given(values=vectors(least=14, spread=0), seed=seeds)
def test_nonlinear_distances_survive_rotation_shift_and_one_scale(values: Array, seed: int) -> None:
    moved = 7 * values @ orthogonal(values.shape[1], seed) + np.abs(values).max()
    expected = NonlinearLedoitWolf().fit(Samples(values)).distance(values)
    distances = NonlinearLedoitWolf().fit(Samples(moved)).distance(moved)
    np.testing.assert_allclose(distances, expected, rtol=1e-6)


@quick
@given(values=vectors(least=3), seed=seeds)
def test_diagonal_distances_survive_a_scale_for_each_feature(values: Array, seed: int) -> None:
    scale = 10 ** np.random.default_rng(seed).uniform(-6, 6, values.shape[1])
    expected = Diagonal().fit(Samples(values)).distance(values)
    distances = Diagonal().fit(Samples(values * scale)).distance(values * scale)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@settings(deadline=None, max_examples=8)
@given(values=vectors(least=50, most=80, widest=5, spread=6), seed=seeds)
def test_robust_distances_survive_a_scale_for_each_feature(values: Array, seed: int) -> None:
    estimator = MinimumCovarianceDeterminant(support=None, seed=0)
    scale = 10 ** np.random.default_rng(seed).uniform(-6, 6, values.shape[1])
    expected = estimator.fit(Samples(values)).distance(values)
    distances = estimator.fit(Samples(values * scale)).distance(values * scale)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@quick
@given(values=vectors(least=3), estimator=shrinking)
def test_shrunk_matrices_are_positive_definite(values: Array, estimator: Covariance) -> None:
    metric = estimator.fit(Samples(values))
    if isinstance(metric, SpectralMahalanobis):
        assert metric.variances.min() > 0
        assert metric.rest > 0
    else:
        assert isinstance(metric, TriangularMahalanobis)
        assert np.abs(metric.triangle.diagonal()).min() > 0
    far = metric.distance(values.mean(axis=0) + 100 * values.std(axis=0) * np.eye(len(values.T)))
    assert (far > 0).all()


@quick
@given(values=vectors())
def test_amounts_lie_between_none_and_all(values: Array) -> None:
    assert 0 <= ledoit_wolf_amount(Samples(values)) <= 1
    assert 0 <= oracle_approximating_amount(Samples(values)) <= 1


ORDERLESS: dict[str, Covariance] = {
    "identity": Identity(),
    "diagonal": Diagonal(),
    "empirical": Empirical(),
    "shrunk": Shrunk(amount=0.2),
    "ledoit_wolf": LedoitWolf(),
    "oas": OracleApproximating(),
    "ledoit_wolf_nonlinear": NonlinearLedoitWolf(),
    "probabilistic_pca": ProbabilisticPrincipalComponents(threshold=0.5),
    "graphical_lasso": GraphicalLasso(alpha=0.3, max_iterations=100),
}


@pytest.mark.parametrize("name", ORDERLESS)
@settings(deadline=None, max_examples=10)
@given(values=tall, seed=seeds)
def test_the_order_of_samples_does_not_matter(name: str, values: Array, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(values)
    expected = ORDERLESS[name].fit(Samples(values)).distance(values)
    distances = ORDERLESS[name].fit(Samples(shuffled)).distance(values)
    np.testing.assert_allclose(distances, expected, rtol=1e-7)


@quick
@given(values=vectors(least=3, most=25), estimator=shrinking, seed=seeds)
def test_the_order_of_few_samples_does_not_matter_either(
    values: Array, estimator: Covariance, seed: int
) -> None:
    shuffled = np.random.default_rng(seed).permutation(values)
    expected = estimator.fit(Samples(values)).distance(values)
    distances = estimator.fit(Samples(shuffled)).distance(values)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@quick
@given(values=vectors(least=4), cuts=st.lists(st.floats(0, 1), max_size=5))
def test_any_parts_merge_to_the_whole(values: Array, cuts: list[float]) -> None:
    ends = sorted({int(cut * len(values)) for cut in cuts} - {0, len(values)})
    whole, merged = Moments.of(values), reduce(add, map(Moments.of, np.split(values, ends)))
    size = np.sqrt(np.outer(whole.variances, whole.variances))
    assert merged.count == whole.count
    assert (np.abs(merged.covariance - whole.covariance) <= 1e-10 * size).all()
    assert merged.fourth_moment == pytest.approx(whole.fourth_moment, rel=1e-10)
    assert ledoit_wolf_amount(merged) == pytest.approx(ledoit_wolf_amount(whole), rel=1e-8)


@quick
@given(one=vectors(widest=1), two=vectors(widest=1), three=vectors(widest=1))
def test_merging_is_commutative_and_associative(one: Array, two: Array, three: Array) -> None:
    a, b, c = Moments.of(one), Moments.of(two), Moments.of(three)
    for other in ((a + b) + c, a + (b + c), (c + b) + a):
        np.testing.assert_allclose(other.mean, (b + a + c).mean, rtol=1e-10)
        np.testing.assert_allclose(other.scatter, (b + a + c).scatter, rtol=1e-10)
        assert other.quartic == pytest.approx((b + a + c).quartic, rel=1e-10)


@quick
@given(values=vectors(least=5, spread=1), estimator=shrinking, seed=seeds)
def test_a_fold_fits_as_its_samples_do(values: Array, estimator: Covariance, seed: int) -> None:
    rows = np.sort(np.random.default_rng(seed).permutation(len(values))[: len(values) - 2])
    expected = estimator.fit(Samples(values[rows])).distance(values)
    distances = estimator.fit(Samples(values).take(rows)).distance(values)
    np.testing.assert_allclose(distances, expected, rtol=1e-8)


@quick
@given(values=vectors(least=3, spread=1), threshold=st.floats(0.05, 0.99))
def test_leading_and_last_components_cover_the_samples(values: Array, threshold: float) -> None:
    samples = Samples(values)
    assume(len(samples.spectrum.variances) > 0)
    leading, last = (
        PrincipalComponents(threshold=threshold, negated=negated).fit(samples).directions
        for negated in (False, True)
    )
    rank = len(samples.spectrum.variances)
    assert leading.shape[1] + last.shape[1] == rank + min(leading.shape[1], 2)
    explained = ((samples.centred @ leading) ** 2).sum() / (samples.centred**2).sum()
    assert explained > threshold - 1e-9

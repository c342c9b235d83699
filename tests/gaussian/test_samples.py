from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gad_bench.gaussian import samples as module
from gad_bench.gaussian.covariance import Diagonal, Empirical, LedoitWolf
from gad_bench.gaussian.samples import Samples

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


def test_statistics_are_those_of_numpy(fitted_and_tested: Pair) -> None:
    values, _ = fitted_and_tested
    samples = Samples(values)
    covariance = np.cov(values.T, bias=True)
    lengths = np.linalg.norm(values - values.mean(axis=0), axis=1)
    np.testing.assert_allclose(samples.mean, values.mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(samples.covariance, covariance, rtol=1e-8, atol=1e-14)
    assert samples.total_variance == pytest.approx(np.trace(covariance), rel=1e-10)
    assert samples.squared_norm == pytest.approx(np.sum(covariance**2), rel=1e-10)
    assert samples.fourth_moment == pytest.approx(np.mean(lengths**4), rel=1e-10)


def test_a_feature_that_is_the_same_in_all_samples_has_no_variance_at_all() -> None:
    values = np.random.default_rng(0).standard_normal((1000, 3))
    values[:, 1] = 0.1
    assert Samples(values).variances[1] == 0
    assert Samples(values).mean[1] == 0.1


def test_spectrum_rebuilds_the_covariance(fitted_and_tested: Pair) -> None:
    values, _ = fitted_and_tested
    spectrum = Samples(values).spectrum
    rank = len(spectrum.variances)
    covariance = np.cov(values.T, bias=True)
    rebuilt = (spectrum.directions * spectrum.variances) @ spectrum.directions.T
    size = np.linalg.norm(covariance)
    np.testing.assert_allclose(rebuilt, covariance, atol=1e-12 * size)
    np.testing.assert_allclose(spectrum.directions.T @ spectrum.directions, np.eye(rank), atol=1e-8)
    assert (np.diff(spectrum.variances) <= 0).all()


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_spectrum_resolves_variances_far_below_the_largest(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    rank = min(shape) - 1
    left = np.linalg.qr(generator.standard_normal((shape[0], rank))).Q
    left = np.linalg.qr(left - left.mean(axis=0)).Q
    right = np.linalg.qr(generator.standard_normal((shape[1], rank))).Q
    lengths = np.logspace(0, -11, rank)
    spectrum = Samples((left * lengths) @ right.T).spectrum
    np.testing.assert_allclose(spectrum.variances, lengths**2 / shape[0], rtol=1e-3)
    overlaps = np.abs(np.sum(spectrum.directions * right, axis=0))
    np.testing.assert_allclose(overlaps, 1, rtol=1e-5)


def test_a_folds_gram_matrix_is_that_of_its_samples(fitted_and_tested: Pair) -> None:
    values, _ = fitted_and_tested
    rows = np.arange(0, len(values), 2)
    of_fold = Samples(values).take(rows)
    expected = Samples(values[rows]).gram
    np.testing.assert_allclose(of_fold.gram, expected, atol=1e-8 * expected.diagonal().mean())


def test_a_folds_gram_matrix_survives_an_outlier_outside_of_it() -> None:
    values = np.random.default_rng(2).standard_normal((20, 50))
    values[19] *= 1e9
    rows = np.arange(19)
    distances = LedoitWolf().fit(Samples(values).take(rows)).distance(values[:19])
    expected = LedoitWolf().fit(Samples(values[:19])).distance(values[:19])
    np.testing.assert_allclose(distances, expected, rtol=1e-10)


def test_a_part_of_a_part_is_a_part() -> None:
    values = np.random.default_rng(3).standard_normal((20, 50))
    once, twice = np.arange(15), np.array([3, 1, 14, 7])
    taken = Samples(values).take(once).take(twice)
    np.testing.assert_array_equal(taken.values, values[:15][twice])
    np.testing.assert_allclose(taken.gram, Samples(values[twice]).gram, atol=1e-11)


def test_maps_apply_one_after_another() -> None:
    values = np.random.default_rng(4).standard_normal((20, 5))
    mapped = Samples(values).map(lambda x: x[:, :3]).map(lambda x: 2 * x)
    assert mapped.dimension == 3
    np.testing.assert_array_equal(mapped.values, 2 * values[:, :3])


def test_a_fold_of_mapped_samples_is_mapped() -> None:
    values = np.random.default_rng(5).standard_normal((20, 50))
    rows = np.arange(10)
    taken = Samples(values).map(np.exp).take(rows)
    np.testing.assert_allclose(taken.gram, Samples(np.exp(values[:10])).gram, rtol=1e-10)


def test_source_is_neither_copied_nor_changed() -> None:
    values = np.random.default_rng(6).standard_normal((20, 5))
    before = values.copy()
    LedoitWolf().fit(Samples(values)).distance(values)
    assert np.shares_memory(Samples(values).values, values)
    np.testing.assert_array_equal(values, before)


def test_float32_features_are_summed_in_float64() -> None:
    values = (np.random.default_rng(7).standard_normal((3000, 4)) + 1000).astype(np.float32)
    expected = np.cov(values.astype(np.float64).T, bias=True)
    np.testing.assert_allclose(Samples(values).covariance, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("estimator", [LedoitWolf(), Empirical(), Diagonal()])
def test_batches_change_nothing_but_rounding(
    estimator: LedoitWolf | Empirical | Diagonal, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(8).standard_normal((500, 6)) @ np.diag(np.logspace(-3, 3, 6))
    at_once = estimator.fit(Samples(values)).distance(values)
    monkeypatch.setattr(module, "BATCH_VALUES", 7 * 6)
    in_batches = estimator.fit(Samples(values, np.arange(500))).distance(values)
    np.testing.assert_allclose(in_batches, at_once, rtol=1e-10)


def test_batches_keep_the_digits_of_nearly_dependent_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = np.random.default_rng(9).integers(-50, 50, (300, 2)).astype(float)
    mixed = whole @ np.array([[1.0, 4e7], [0.0, 1.0]])
    expected = Empirical().fit(Samples(whole)).distance(whole)
    monkeypatch.setattr(module, "BATCH_VALUES", 100)
    distances = Empirical().fit(Samples(mixed)).distance(mixed)
    np.testing.assert_allclose(distances, expected, rtol=1e-7)
